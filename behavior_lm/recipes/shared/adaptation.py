"""What of a pretrained encoder is trained, and at which rate.

probe   the head alone, a linear one, on the pooled states
head    pooling and head
top     and the last `top_layers` layers
full    everything
lora    pooling, head and low-rank updates (layers/adapters/lora.py)
prefix  pooling, head and a prefix in every layer (layers/adapters/prefix.py)
soft    pooling, head and vectors at the input (adapters/soft_prompt.py); of
        language models alone, whose prompts leave room for them
"""

from typing import Any

from flax import nnx
import ml_collections

from behavior_lm.common.errors import UserError
from behavior_lm.layers.adapters import lora
from behavior_lm.layers.adapters import prefix
from behavior_lm.layers.adapters import soft_prompt

MODES = ("probe", "head", "top", "full", "lora", "prefix")
PROMPT_MODES = (*MODES, "soft")
# Parameters that no pretrained run has.
ADAPTERS = rf"{lora.PATTERN}|{prefix.PATTERN}|{soft_prompt.PATTERN}"


def is_frozen(mode: str) -> bool:
  """Whether the encoder is a fixed function."""
  return mode in ("probe", "head")


def keeps_encoder_elsewhere(mode: str) -> bool:
  """Whether checkpoints hold adapters and head alone."""
  return is_frozen(mode) or mode in ("lora", "prefix", "soft")


def set_adaptation(
    config: ml_collections.ConfigDict,
    num_layers: int,
    modes: tuple[str, ...] = MODES,
) -> None:
  """Writes into a config what follows from its section `adapt`.

  Args:
    config: of a run whose encoder is `encoder.run`, unless
      `encoder.from_scratch`.
    num_layers: layers of the encoder that have weights of their own.
    modes: that this kind of run has.

  Raises:
    UserError: if a setting is unknown or out of range.
  """
  config.init_from.encoder = (
      "" if config.encoder.from_scratch else config.encoder.run
  )
  config.optim.freeze = freeze_pattern(config.adapt, num_layers, modes)
  if config.encoder.from_scratch and config.optim.freeze:
    raise UserError(
        f"config.adapt.mode is {config.adapt.mode!r} with encoder.from_scratch:"
        " the frozen part would stay random. Set --config.adapt.mode=full."
    )
  scales = rate_scales(config.adapt.layer_decay, num_layers)
  with config.ignore_type():
    config.optim.rate_scales = ml_collections.ConfigDict(scales)
  config.init_new = ADAPTERS
  config.checkpoint_trained_only = keeps_encoder_elsewhere(config.adapt.mode)


def freeze_pattern(
    adapt: ml_collections.ConfigDict,
    num_layers: int,
    modes: tuple[str, ...] = MODES,
) -> str:
  """Regular expression of the parameters that are not trained.

  Args:
    adapt: the section of configs/finetune.py.
    num_layers: layers of the encoder that have weights of their own.
    modes: that there are.

  Raises:
    UserError: if the mode is unknown, or there are not so many layers.
  """
  mode = adapt.mode
  if mode not in modes:
    raise UserError(
        f"config.adapt.mode is {mode!r}; known are {', '.join(modes)}."
    )
  if mode == "full":
    return ""
  if mode == "top":
    if not 1 <= adapt.top_layers <= num_layers:
      raise UserError(
          f"config.adapt.top_layers is {adapt.top_layers}; the encoder has"
          f" {num_layers} layers of its own, choose 1 to {num_layers}."
      )
    below = [str(n) for n in range(num_layers - adapt.top_layers)]
    parts = ["embed", *(f"layers/{number}" for number in below)]
    return f"^encoder/({'|'.join(parts)})/"
  if is_frozen(mode):
    return "^encoder/"
  return f"^encoder/(?!.*({ADAPTERS}))"


def rate_scales(decay: float, num_layers: int) -> dict[str, float]:
  """Factors of the learning rate: `decay` once per layer from the top down.

  As in ELECTRA (arXiv 2003.10555) and ULMFiT (arXiv 1801.06146): the head
  learns at the full rate, the last layer at `decay`, the embeddings slowest.

  Args:
    decay: in (0, 1]; 1 is one rate for all.
    num_layers: layers of the encoder that have weights of their own.

  Raises:
    UserError: if the decay is out of range.
  """
  if not 0 < decay <= 1:
    raise UserError(
        f"config.adapt.layer_decay is {decay}; give a factor in (0, 1]."
    )
  if decay == 1:
    return {}
  scales = {
      f"^encoder/layers/{number}/": decay ** (num_layers - number)
      for number in range(num_layers)
  }
  # What is left: the embeddings, and a norm or projection around the layers.
  return scales | {
      "^encoder/embed/": decay ** (num_layers + 1),
      "^encoder/": decay,
  }


def adapt_encoder(
    encoder: Any, adapt: ml_collections.ConfigDict, *, rngs: nnx.Rngs
) -> None:
  """Adds the parameters of a mode to an encoder.

  Raises:
    UserError: if they do not fit it.
  """
  try:
    if adapt.mode == "lora":
      if adapt.lora_dropout and encoder.config.__class__.__name__.startswith(
          "Reformer"
      ):
        raise ValueError(
            "the states of a Reformer are computed again from its outputs,"
            " which LoRA's dropout does not bear: set lora_dropout to 0"
        )
      lora.add_lora(
          encoder,
          adapt.lora_targets,
          adapt.lora_rank,
          alpha=adapt.lora_alpha,
          dropout_rate=adapt.lora_dropout,
          rngs=rngs,
      )
    elif adapt.mode == "prefix":
      prefix.add_prefix(
          encoder,
          adapt.prefix_length,
          shift=adapt.get("prefix_shift", False),
          rngs=rngs,
      )
    elif adapt.mode == "soft":
      soft_prompt.add_soft_prompt(encoder, adapt.soft_length, rngs=rngs)
  except ValueError as error:
    raise UserError(f"config.adapt: {error}.") from error

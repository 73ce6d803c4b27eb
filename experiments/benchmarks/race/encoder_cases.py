"""What the speed of encoders is measured on: models, sizes, batches."""

from collections.abc import Sequence
from typing import Any

from behavior_lm.common.errors import UserError
from behavior_lm.logs import schema
from behavior_lm.models.encoders import ENCODERS
from behavior_lm.models.encoders.config import DTYPES
from behavior_lm.models.encoders.config import EncoderConfig
from behavior_lm.objectives.masked_events import MaskedEvents

# A setting that both sides read, as JSON; see `make_case`.
Case = dict[str, Any]

MODES = ("train", "forward", "embed")
# Where our head predicts: on masked positions, as our training does, or on all,
# as transformers' classes do.
HEADS = ("masked", "all")
_SIZES = dict(
    num_layers=4, embed_dim=256, num_heads=4, mlp_dim=1024, vocab_size=8192
)
# Sizes that run in a second, to see that everything works.
_TINY = dict(num_layers=2, embed_dim=32, num_heads=2, mlp_dim=64, vocab_size=96)
_TINY_SHAPE = dict(length=128, batch_size=2)
# length, batch_size, and what an architecture has of its own.
_MODELS: dict[str, tuple[int, int, dict[str, Any]]] = {
    "bert": (512, 8, {}),
    "albert": (512, 8, {"embedding_dim": 128}),
    "longformer": (4096, 1, {"window_size": 128}),
    "reformer": (4096, 1, {"num_hashes": 2, "chunk_size": 64}),
    "modern": (4096, 1, {"window_size": 64, "global_every": 3}),
}
# Our configs say more than the other side needs to hear.
_OURS: dict[str, dict[str, Any]] = {
    "bert": {"num_token_types": 2},
    "albert": {"num_token_types": 2},
    "longformer": {"num_token_types": 2},
    # A window of a chunk each side: as many keys as a chunk and the one before.
    "reformer": {"norm_position": "pre", "window_size": 64},
    "modern": {
        "position_encoding": "rotary",
        "norm_position": "pre",
        "use_bias": False,
    },
}
_TINY_OWN = {"embedding_dim": 16, "window_size": 16, "chunk_size": 16}


def model_names() -> list[str]:
  """The models that have a case."""
  return list(_MODELS)


def make_case(
    model: str,
    *,
    mode: str = "train",
    dtype: str = "float32",
    heads: Sequence[str] = HEADS,
    length: int = 0,
    batch_size: int = 0,
    threads: int = 1,
    tiny: bool = False,
    keep_states: bool = False,
) -> Case:
  """A measurement's setting.

  Args:
    model: key of `ENCODERS`.
    mode: "train", "forward" or "embed" (the mean of the last states).
    dtype: of the computation.
    heads: of `HEADS`, where ours predicts.
    length, batch_size: 0 takes the model's.
    threads: that the other side may use.
    tiny: of sizes that take a second.
    keep_states: reformer alone: our layers keep their states for the gradient,
      as other models do, instead of computing them again.

  Raises:
    UserError: if a value is unknown.
  """
  known = {"model": model_names(), "mode": MODES, "dtype": DTYPES}
  given = {"model": model, "mode": mode, "dtype": dtype}
  for name, value in given.items():
    if value not in known[name]:
      raise UserError(f"{name} {value!r}; known are {', '.join(known[name])}.")
  if not heads or not set(heads) <= set(HEADS):
    raise UserError(f"heads {list(heads)}; known are {', '.join(HEADS)}.")
  own_length, own_batch, own = _MODELS[model]
  if keep_states:
    if model != "reformer" or mode != "train":
      raise UserError(
          f"keep_states: {model} {mode} has no states to compute again; it is"
          " for training steps of reformer."
      )
    own = own | {"reversible": False}
  if tiny:
    own_length, own_batch = _TINY_SHAPE["length"], _TINY_SHAPE["batch_size"]
    own = own | {key: _TINY_OWN[key] for key in own.keys() & _TINY_OWN.keys()}
  return {
      **given,
      "heads": list(heads),
      "length": length or own_length,
      "batch_size": batch_size or own_batch,
      **(_TINY if tiny else _SIZES),
      "own": own,
      "mask_rate": 0.15,
      "first_token": schema.NUM_SPECIAL,
      "cls_token": schema.CLS_ID,
      "sep_token": schema.SEP_ID,
      "mask_token": schema.MASK_ID,
      "threads": threads,
  }


def model_config(case: Case) -> EncoderConfig:
  """Our model's config: no dropout, no time, learned positions, post-norm."""
  _, make_config = ENCODERS[case["model"]]
  sizes = {name: case[name] for name in _SIZES}
  settings = {
      "position_encoding": "learned",
      "norm_position": "post",
      **_OURS[case["model"]],
      **case["own"],
  }
  return make_config(
      **sizes,
      max_length=case["length"],
      max_segments=1,
      time_encoding="none",
      dropout_rate=0.0,
      dtype=case["dtype"],
      **settings,
  )


def make_objective(case: Case) -> MaskedEvents:
  """BERT's masking of one segment a row."""
  return MaskedEvents(
      vocab_size=case["vocab_size"],
      num_special=schema.NUM_SPECIAL,
      mask_id=schema.MASK_ID,
      unk_id=schema.UNK_ID,
      max_segments=1,
      mask_rate=case["mask_rate"],
  )

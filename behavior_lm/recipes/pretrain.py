"""From a config to the parts of a run: tokenizer, windows, model, objective."""

from collections.abc import Callable
import functools
from pathlib import Path
from typing import Any

import ml_collections
import optax

from behavior_lm.common.errors import UserError
from behavior_lm.data import time_features
from behavior_lm.data.pipeline import BatchSpec
from behavior_lm.data.token_lengths import token_lengths
from behavior_lm.data.token_source import Annotate
from behavior_lm.data.token_source import open_tokens
from behavior_lm.data.token_source import TokenSource
from behavior_lm.data.tokenizers import load_tokenizer
from behavior_lm.data.tokenizers import Tokenizer
from behavior_lm.data.tokenizers.training import train_tokenizer
from behavior_lm.data.windows import WindowSource
from behavior_lm.logs import schema
from behavior_lm.logs.dataset import Dataset
from behavior_lm.models.encoders import MODELS
from behavior_lm.objectives import OBJECTIVES
from behavior_lm.training.optim import make_optimizer
from behavior_lm.training.optim import make_schedule


def build_tokenizer(
    config: ml_collections.ConfigDict, dataset: Dataset
) -> Tokenizer:
  """The tokenizer of the config, trained on the training split alone.

  With `init_from` it is that run's: rows of its tables are tokens of that one.
  """
  if config.init_from:
    return load_tokenizer(Path(config.init_from) / "tokenizer")
  if config.tokenizer.path:
    return load_tokenizer(config.tokenizer.path)
  values = config.tokenizer.to_dict()
  del values["path"]
  try:
    return train_tokenizer(dataset, **values, seed=config.seed)
  except TypeError as error:
    raise UserError(f"config.tokenizer: {error}") from error


def feature_names(config: ml_collections.ConfigDict) -> tuple[str, ...]:
  """Further fields of a token that the model reads."""
  names = (name.strip() for name in config.data.features.split(","))
  return tuple(name for name in names if name)


def complete_config(
    config: ml_collections.ConfigDict, dataset: Dataset
) -> None:
  """Writes down what a config takes from its dataset.

  A run folder must tell it without the dataset: an embedder reads hours on the
  clock that training read.
  """
  if feature_names(config) and not config.data.feature_zone:
    config.data.feature_zone = dataset.meta["timezone"]


def build_windows(
    config: ml_collections.ConfigDict,
    dataset: Dataset,
    tokenizer: Tokenizer,
    split: str,
) -> WindowSource:
  """Windows of a split for training, as the config cuts them.

  Raises:
    UserError: if the fields would tell a causal model its answers.
  """
  tokens = _open_tokens(config, dataset, tokenizer, split)
  check_causal(config, tokenizer)
  return WindowSource(
      tokens,
      token_lengths(dataset, split, tokens),
      max_length=config.data.max_length,
      seed=config.seed,
      history=config.data.history,
      stride=config.data.stride or None,
  )


def build_scored_windows(
    config: ml_collections.ConfigDict,
    dataset: Dataset,
    tokenizer: Tokenizer,
    split: str,
    annotate: Annotate,
) -> WindowSource:
  """Windows for an evaluation: every token once, in order."""
  tokens = _open_tokens(config, dataset, tokenizer, split, annotate)
  return WindowSource(
      tokens,
      token_lengths(dataset, split, tokens),
      max_length=config.data.max_length,
      move_cuts=False,
  )


def _open_tokens(
    config: ml_collections.ConfigDict,
    dataset: Dataset,
    tokenizer: Tokenizer,
    split: str,
    annotate: Annotate | None = None,
) -> TokenSource:
  return open_tokens(
      dataset,
      split,
      tokenizer,
      gap_kind=config.data.gap_kind,
      features=feature_names(config),
      zone=config.data.feature_zone or None,
      annotate=annotate,
  )


def check_causal(
    config: ml_collections.ConfigDict, tokenizer: Tokenizer
) -> None:
  """Raises UserError if what a causal model reads looks ahead."""
  if not config.model.causal:
    return
  time_features.check_names(
      [n for n in feature_names(config) if n in time_features.NAMES],
      causal=True,
  )
  if tokenizer.settings.sessions.looks_ahead and tokenizer.kind == "bpe":
    raise UserError(
        "model.causal with sessions by a quantile of the whole sequence: later"
        " events move earlier boundaries. Set --config.tokenizer.sessions to"
        " seconds, or to learned."
    )


def batch_spec(
    config: ml_collections.ConfigDict, num_hosts: int = 1
) -> BatchSpec:
  """The batch of one host; `data.batch_size` counts rows of all hosts."""
  if config.data.batch_size % num_hosts:
    raise UserError(
        f"data.batch_size {config.data.batch_size} does not divide among"
        f" {num_hosts} hosts."
    )
  return BatchSpec(
      batch_size=config.data.batch_size // num_hosts,
      max_length=config.data.max_length,
      max_segments=config.data.max_segments,
      pack=config.data.pack,
      prefetch=config.data.prefetch,
  )


def build_model(
    config: ml_collections.ConfigDict, vocab_size: int
) -> Callable[..., Any]:
  """A function of `rngs` that makes the model.

  Raises:
    UserError: if a value is unknown, or the time would tell the answer.
  """
  make, make_config = _known("model.name", config.model.name, MODELS)
  if config.model.causal and config.data.gap_kind == "next":
    raise UserError(
        "model.causal with data.gap_kind=next: the gap to the next event tells"
        " a causal model when its answer comes. Set"
        " --config.data.gap_kind=previous."
    )
  # What is one value a layer, or two numbers, comes from config.json as a list.
  sizes = {
      name: tuple(value) if isinstance(value, list) else value
      for name, value in config.model.items()
      if name != "name"
  }
  try:
    model_config = make_config(
        vocab_size=vocab_size,
        max_length=config.data.max_length,
        max_segments=config.data.max_segments,
        features=feature_names(config),
        **sizes,
    )
  except TypeError as error:
    raise UserError(f"config.model: {error}") from error
  return functools.partial(make, model_config)


def build_objective(
    config: ml_collections.ConfigDict, vocab_size: int
) -> Any:
  """The pretraining objective of the config."""
  make = _known("objective.name", config.objective.name, OBJECTIVES)
  values = {
      name: value for name, value in config.objective.items() if name != "name"
  }
  try:
    return make(
        vocab_size=vocab_size,
        num_special=schema.NUM_SPECIAL,
        mask_id=schema.MASK_ID,
        unk_id=schema.UNK_ID,
        max_segments=config.data.max_segments,
        features=feature_names(config),
        **values,
    )
  except (TypeError, ValueError) as error:
    raise UserError(f"config.objective: {error}") from error


def build_optimizer(
    config: ml_collections.ConfigDict,
) -> tuple[optax.Schedule, optax.GradientTransformation]:
  """The learning rate by steps, and the optimiser that follows it.

  Raises:
    UserError: if a value makes no sense.
  """
  of = lambda *names: {name: config.optim[name] for name in names}
  try:
    schedule = make_schedule(
        total_steps=config.total_steps,
        **of("learning_rate", "warmup_steps", "schedule", "final_share"),
    )
    optimizer = make_optimizer(
        schedule, **of("weight_decay", "beta1", "beta2", "clip_norm")
    )
  except ValueError as error:
    raise UserError(f"config.optim: {error}") from error
  return schedule, optimizer


def _known(field: str, name: str, table: dict[str, Any]) -> Any:
  if name not in table:
    raise UserError(f"config.{field} is {name!r}; known are {sorted(table)}.")
  return table[name]


def data_name(path: str | Path) -> str:
  """How results name a dataset: its folder, not where that lies."""
  return Path(path).resolve().name

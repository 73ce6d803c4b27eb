"""From a config to the parts of a run: tokenizer, windows, model, objective."""

from collections.abc import Callable
import functools
from pathlib import Path
from typing import Any

import ml_collections

from behavior_lm.data import schema
from behavior_lm.data.dataset import Dataset
from behavior_lm.data.pipeline import BatchSpec
from behavior_lm.data.tokenizers import load_tokenizer
from behavior_lm.data.tokenizers import TOKENIZERS
from behavior_lm.data.windows import Annotate
from behavior_lm.data.windows import WindowSource
from behavior_lm.errors import UserError
from behavior_lm.models import MODELS
from behavior_lm.objectives import OBJECTIVES


def build_tokenizer(
    config: ml_collections.ConfigDict, dataset: Dataset
) -> Any:
  """The tokenizer of the config, counted on the training split alone."""
  if config.tokenizer.path:
    return load_tokenizer(config.tokenizer.path)
  kind = _known("tokenizer.kind", config.tokenizer.kind, TOKENIZERS)
  return kind.train(dataset.pairs, config.tokenizer.vocab_size)


def build_windows(
    config: ml_collections.ConfigDict,
    dataset: Dataset,
    tokenizer: Any,
    split: str,
    *,
    shuffle: bool = True,
    num_epochs: int | None = None,
    annotate: Annotate | None = None,
) -> WindowSource:
  """Windows of a split as the config cuts them."""
  return WindowSource(
      dataset.source(split),
      dataset.sequences(split)["num_events"].to_numpy(),
      tokenizer.encode_table(dataset.pairs),
      max_length=config.data.max_length,
      gap_kind=config.data.gap_kind,
      seed=config.seed,
      shuffle=shuffle,
      num_epochs=num_epochs,
      annotate=annotate,
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
  sizes = {
      name: value for name, value in config.model.items() if name != "name"
  }
  try:
    model_config = make_config(
        vocab_size=vocab_size,
        max_length=config.data.max_length,
        max_segments=config.data.max_segments,
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
        **values,
    )
  except (TypeError, ValueError) as error:
    raise UserError(f"config.objective: {error}") from error


def _known(field: str, name: str, table: dict[str, Any]) -> Any:
  if name not in table:
    raise UserError(f"config.{field} is {name!r}; known are {sorted(table)}.")
  return table[name]


def data_name(path: str | Path) -> str:
  """How results name a dataset: its folder, not where that lies."""
  return Path(path).resolve().name

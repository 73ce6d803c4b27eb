"""Which samples a run trains on, chooses by and is tested on."""

import dataclasses
from typing import Any

from behavior_lm.common.errors import UserError
from behavior_lm.data.samples import SampleTable
from behavior_lm.data.samples import splits
from behavior_lm.logs.readers.timestamps import parse_moment

KINDS = ("user", "folds", "time")


def make_sides(table: SampleTable, config: Any) -> splits.Sides:
  """{"train", "valid", "test"}: positions in a table of labelled rows.

  Args:
    table: labelled rows.
    config: the section `split` of configs/finetune.py.

  Raises:
    UserError: if a setting is unknown, or a side has no row.
  """
  stratify = _stratify(table)
  if config.kind == "folds":
    if not 0 <= config.fold < config.num_folds:
      raise UserError(
          f"config.split.fold is {config.fold}; choose 0 to"
          f" {config.num_folds - 1}."
      )
    folds = splits.folds(
        table, config.num_folds, seed=config.seed, stratify=stratify
    )
    sides = _with_valid(table, folds[config.fold], config, stratify)
  elif config.kind == "user":
    shares = {
        "train": 1.0 - config.valid_share - config.test_share,
        "valid": config.valid_share,
        "test": config.test_share,
    }
    sides = splits.by_user(table, shares, seed=config.seed, stratify=stratify)
  elif config.kind == "time":
    sides = splits.by_time(
        table,
        _moment(config.split_time, "split_time", config.timezone),
        valid_time=_moment(config.valid_time, "valid_time", config.timezone),
    )
  else:
    raise UserError(
        f"config.split.kind is {config.kind!r}; known are {', '.join(KINDS)}."
    )
  if config.train_size:
    sizes = splits.train_sizes(
        table,
        sides["train"],
        [config.train_size],
        seed=config.seed,
        stratify=stratify,
    )
    sides["train"] = next(iter(sizes.values()))
  return sides


def _with_valid(
    table: SampleTable, fold: splits.Sides, config: Any, stratify: str
) -> splits.Sides:
  """Sets users of the training side of a fold aside."""
  rows = fold["train"]
  inside = dataclasses.replace(table, frame=table.frame[rows])
  shares = {"train": 1.0 - config.valid_share, "valid": config.valid_share}
  parts = splits.by_user(
      inside, shares, seed=config.seed + 1, stratify=stratify
  )
  return {
      "train": rows[parts["train"]],
      "valid": rows[parts["valid"]],
      "test": fold["test"],
  }


def _stratify(table: SampleTable) -> str:
  """The first label that has few values."""
  names = table.columns.labels_of("binary", "multi_class")
  return names[0] if names else ""


def _moment(text: str, name: str, zone: str) -> int:
  if not text:
    raise UserError(
        f"config.split.kind is 'time': set --config.split.{name}, such as"
        " 2019-12-15."
    )
  return parse_moment(text, zone, f"--config.split.{name}")

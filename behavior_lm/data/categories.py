"""Values of categorical columns <-> their codes, beside a tokenizer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.common.files import whole_file
from behavior_lm.logs.dataset import Dataset

UNKNOWN, NONE = 0, -1
# {column: {value: code}}
Vocabularies = Mapping[str, Mapping[str, int]]


def save_categories(
    folder: Path, dataset: Dataset, names: Sequence[str]
) -> None:
  """Writes the vocabularies of columns to FOLDER/NAME.parquet."""
  for name in names:
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / f"{name}.parquet") as temporary:
      dataset.categories(name).write_parquet(temporary)


def load_categories(folder: Path, names: Sequence[str]) -> Vocabularies:
  """Reads what `save_categories` wrote.

  Raises:
    UserError: if a file is missing or damaged.
  """
  found = {}
  for name in names:
    path = folder / f"{name}.parquet"
    try:
      table = pl.read_parquet(path).drop_nulls("value")
      found[name] = dict(zip(table["value"], table["code"], strict=True))
    except (OSError, pl.exceptions.PolarsError) as error:
      raise UserError(
          f"{path}: the vocabulary of column {name!r} cannot be read"
          f" ({error}). Restore the folder of the run."
      ) from error
  return found


def encode(values: Sequence[Any], vocabulary: Mapping[str, int]) -> np.ndarray:
  """[n] values -> int32 codes: 0 is unknown, -1 stands for None."""
  codes = [
      NONE if value is None else vocabulary.get(str(value), UNKNOWN)
      for value in values
  ]
  return np.asarray(codes, np.int32)

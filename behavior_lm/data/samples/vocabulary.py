"""Values of labels and features as codes, from the training rows alone."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.data.samples.sample_columns import BINARY
from behavior_lm.data.samples.sample_columns import CATEGORICAL
from behavior_lm.data.samples.sample_columns import DENSE
from behavior_lm.data.samples.sample_columns import LABEL
from behavior_lm.data.samples.sample_columns import MULTI_CLASS
from behavior_lm.data.samples.sample_columns import MULTI_LABEL
from behavior_lm.data.samples.sample_columns import SampleColumns
from behavior_lm.data.samples.sample_columns import WITH_CLASSES
from behavior_lm.data.samples.table import SampleTable

# Codes of labels that are no class.
MISSING = -1
UNSEEN = -2
# Codes of categories, as in `data.fields.categorical_field`.
UNKNOWN_CATEGORY = 0

# {"label/NAME" or "categorical/NAME": its values}; JSON.
Vocabularies = dict[str, list[str]]


def fit(table: SampleTable, rows: np.ndarray | None = None) -> Vocabularies:
  """Lists the values that occur in the training rows.

  Args:
    table: labelled rows.
    rows: positions of the training rows; None takes all.

  Returns:
    The classes of each multi_class and multi_label label, whose code is their
    place, and the values of each categorical feature, whose code is their
    place plus 1. Values are sorted, as numbers where all of them are numbers.

  Raises:
    UserError: if no training row has a class for a label.
  """
  frame = table.frame if rows is None else table.frame[rows]
  out = {}
  for name in table.columns.labels_of(*WITH_CLASSES):
    values = frame[LABEL + name]
    if isinstance(values.dtype, pl.List):
      values = values.explode()
    out[LABEL + name] = _sorted(values)
    if not out[LABEL + name]:
      raise UserError(
          f"label {name!r}: no training row has a class. Is the right column"
          " declared?"
      )
  for name in table.columns.categorical:
    out[CATEGORICAL + name] = _sorted(frame[CATEGORICAL + name])
  return out


def encode(
    frame: pl.DataFrame,
    columns: SampleColumns,
    vocabularies: Mapping[str, Sequence[str]],
) -> dict[str, np.ndarray]:
  """Labels and features as arrays.

  Args:
    frame: of a SampleTable.
    columns: its declaration.
    vocabularies: as `fit` gives them.

  Returns:
    By the names of the frame:
      binary: int8 [n], 0, 1 or MISSING.
      multi_class: int32 [n], the class, MISSING, or UNSEEN for a class that
        the vocabulary does not have.
      multi_label: int8 [n, classes], 0 or 1; MISSING in the whole row where
        the label is missing. Classes out of the vocabulary are left out.
      regression: float32 [n], NaN where missing.
      dense: float32 [n], NaN where missing.
      categorical: int32 [n], from 1; MISSING, or UNKNOWN_CATEGORY for a value
        that the vocabulary does not have.

  Raises:
    UserError: if a vocabulary is not given.
  """
  out = {}
  for name, kind in columns.labels.items():
    values = frame[LABEL + name]
    if kind == BINARY:
      out[values.name] = values.fill_null(MISSING).to_numpy()
    elif kind == MULTI_CLASS:
      known = _find(vocabularies, values.name)
      out[values.name] = _codes(values, known, unseen=UNSEEN)
    elif kind == MULTI_LABEL:
      out[values.name] = _sets(values, _find(vocabularies, values.name))
    else:
      out[values.name] = _numbers(values)
  for name in columns.dense:
    out[DENSE + name] = _numbers(frame[DENSE + name])
  for name in columns.categorical:
    column = CATEGORICAL + name
    known = _find(vocabularies, column)
    out[column] = _codes(
        frame[column], known, first=1, unseen=UNKNOWN_CATEGORY
    )
  return out


def count_unseen(
    frame: pl.DataFrame, vocabularies: Mapping[str, Sequence[str]]
) -> dict[str, int]:
  """Rows by column that hold a value which its vocabulary does not have."""
  out = {}
  for column, known in vocabularies.items():
    values = frame[column].drop_nulls()
    if isinstance(values.dtype, pl.List):
      foreign = values.list.set_difference(pl.Series([list(known)]))
      out[column] = int((foreign.list.len() > 0).sum())
    else:
      out[column] = int((~values.is_in(list(known))).sum())
  return out


def _sorted(values: pl.Series) -> list[str]:
  found = values.drop_nulls().unique().sort()
  numbers = found.cast(pl.Float64, strict=False)
  if not numbers.null_count():
    # The text decides between +1 and 1.
    found = found.gather(np.argsort(numbers.to_numpy(), kind="stable"))
  return found.to_list()


def _find(
    vocabularies: Mapping[str, Sequence[str]], name: str
) -> Sequence[str]:
  if name not in vocabularies:
    raise UserError(
        f"{name}: no vocabulary is given. Fit one on the training rows with"
        " vocabulary.fit(table, rows)."
    )
  return vocabularies[name]


def _codes(
    values: pl.Series, known: Sequence[str], *, first: int = 0, unseen: int
) -> np.ndarray:
  codes = values.replace_strict(
      pl.Series(known, dtype=pl.String),
      pl.Series(np.arange(first, first + len(known)), dtype=pl.Int32),
      default=unseen,
      return_dtype=pl.Int32,
  )
  missing = values.is_null().to_numpy()
  return np.where(missing, MISSING, codes.fill_null(MISSING)).astype(np.int32)


def _sets(values: pl.Series, known: Sequence[str]) -> np.ndarray:
  out = np.zeros((len(values), len(known)), np.int8)
  out[values.is_null().to_numpy()] = MISSING
  flat = pl.DataFrame(
      {"row": np.arange(len(values)), "value": values}
  ).explode("value").drop_nulls()
  codes = _codes(flat["value"], known, unseen=UNSEEN)
  seen = codes >= 0
  out[flat["row"].to_numpy()[seen], codes[seen]] = 1
  return out


def _numbers(values: pl.Series) -> np.ndarray:
  return values.cast(pl.Float32).fill_null(np.nan).to_numpy()

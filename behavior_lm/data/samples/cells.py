"""Reads label files and the cells of their columns."""

import codecs
from pathlib import Path

import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from behavior_lm.common.errors import first_line
from behavior_lm.common.errors import UserError
from behavior_lm.logs.readers import value_text

# How a binary value may be written.
BINARY_TEXTS = {
    "0": 0, "0.0": 0, "false": 0,
    "1": 1, "1.0": 1, "true": 1,
}  # fmt: skip
_EXAMPLES = 3
# What damaged files raise; Polars panics over types that it does not know.
_UNREADABLE = (
    pl.exceptions.PolarsError, pl.exceptions.PanicException, pa.ArrowException,
    UnicodeDecodeError, OSError,
)  # fmt: skip
_SEPARATORS = (",", ";", "\t", "|")


def read_file(path: Path, *, as_text: bool = False) -> pl.DataFrame:
  """Reads a CSV, TSV or Parquet file.

  Args:
    path: the file. Text files give strings, so that the user '007' stays
      '007'; Parquet gives the types that it holds.
    as_text: turn all columns of a Parquet file into strings, too.

  Raises:
    UserError: if the file is missing, empty or not readable.
  """
  if not path.is_file():
    raise UserError(f"{path}: no such file. Give a CSV or Parquet file.")
  if not path.stat().st_size:
    raise UserError(f"{path}: the file is empty.")
  try:
    if path.suffix == ".parquet":
      # Polars' own reader ends the process over some damaged files.
      whole = pq.read_table(path)
      whole.validate(full=True)
      table = pl.DataFrame(pl.from_arrow(whole))
      return table.select(map(_as_text, table)) if as_text else table
    separator = "\t" if path.suffix == ".tsv" else _separator(path)
    table = pl.read_csv(path, infer_schema=False, separator=separator)
  except _UNREADABLE as error:
    first = first_line(error)
    if "utf-8" in first.lower():
      raise UserError(
          f"{path}: is not written in UTF-8. Convert it, for example with"
          f" iconv -f GB18030 -t UTF-8 {path.name}."
      ) from error
    raise UserError(
        f"{path}: not readable as {path.suffix or 'CSV'} ({first})."
    ) from error
  names = [name.strip() for name in table.columns]
  for name in names:
    # What Polars calls a second column of one name.
    if (once := name.partition("_duplicated_")[0]) != name and once in names:
      raise UserError(
          f"{path}: the header names {once!r} more than once. Rename the"
          " columns so that each name is there once."
      )
  return table.rename(dict(zip(table.columns, names, strict=True)))


def _as_text(values: pl.Series) -> pl.Series:
  """One value has one text, as in a log; lists and structs as Python's."""
  if values.dtype.is_nested():
    found = [None if v is None else str(v) for v in values.to_list()]
    return pl.Series(values.name, found, dtype=pl.String)
  return value_text.of_series(values).alias(values.name)


def _separator(path: Path) -> str:
  """The most frequent separator of the header line; a comma if none is."""
  with path.open("rb") as file:
    line = file.readline(1 << 20)
  if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
    raise UserError(
        f"{path}: is UTF-16 text. Convert it: iconv -f UTF-16 -t UTF-8"
        f" {path.name}."
    )
  header = line.decode("utf-8", "replace")
  return max(_SEPARATORS, key=header.count)


def some(values: object) -> str:
  """The first few values in sorted order, for a message."""
  names = sorted(str(value) for value in values)  # type: ignore[attr-defined]
  more = ", ..." if len(names) > _EXAMPLES else ""
  return ", ".join(repr(name) for name in names[:_EXAMPLES]) + more


def texts(values: pl.Series) -> pl.Series:
  """Any column as stripped text; null where a cell is empty or NaN.

  One value has one text, as in a log, see `value_text`.

  Raises:
    UserError: if the column holds lists or structs.
  """
  if values.dtype.is_nested():
    raise UserError(
        f"column {values.name!r} holds {values.dtype}; only a multi_label"
        " column may hold lists."
    )
  found = value_text.of_series(values).alias(values.name)
  stripped = found.str.strip_chars()
  return stripped.replace({"": None})


def binary(values: pl.Series) -> tuple[pl.Series, pl.Series]:
  """Any column -> Int8 of 0 and 1, and whether a cell holds anything else.

  A cell that is empty, NA, null and the like has no label.
  """
  found = _without_markers(texts(values).str.to_lowercase())
  numbers = found.replace_strict(
      BINARY_TEXTS, default=None, return_dtype=pl.Int8
  )
  return numbers, found.is_not_null() & numbers.is_null()


def _without_markers(values: pl.Series) -> pl.Series:
  marked = values.str.to_lowercase().is_in(value_text.NO_NUMBER)
  return values.set(marked.fill_null(False), None)


def finite(values: pl.Series) -> tuple[pl.Series, pl.Series]:
  """Any column -> Float64, and whether a cell is no finite number.

  An empty cell, NaN, NA and null are null, which is no error.
  """
  found = values if values.dtype.is_numeric() else texts(values)
  if not found.dtype.is_numeric():
    found = _without_markers(found)
  numbers = found.cast(pl.Float64, strict=False).fill_nan(None)
  if found.dtype.is_numeric():
    bad = numbers.is_infinite().fill_null(False)
  else:
    finite_number = numbers.is_finite().fill_null(False)
    bad = found.is_not_null() & ~finite_number
  return numbers, bad


def class_sets(values: pl.Series, separator: str) -> pl.Series:
  """Any column -> List(String), the distinct classes of each cell, sorted."""
  if isinstance(values.dtype, pl.List):
    lists = values.cast(pl.List(pl.String))
  else:
    lists = texts(values).str.split(separator)
  cell = pl.element().str.strip_chars()
  return lists.list.eval(
      cell.filter(cell.is_not_null() & (cell != "")).unique().sort()
  )

"""Reads the file of a feature table, and joins what is known of its ids."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from behavior_lm.common.errors import first_line
from behavior_lm.common.errors import UserError
from behavior_lm.data.samples import cells
from behavior_lm.logs.formats import criteo

CRITEO = "criteo"


def read_source(
    path: str | Path,
    *,
    header: Sequence[str] | str = "",
    lookups: Mapping[str, str] | None = None,
) -> pl.DataFrame:
  """Reads a CSV, TSV or Parquet file.

  Args:
    path: the file.
    header: names of the columns of a file without a header line; "criteo" is
      the log of that name, with or without its header; empty where the file
      has one.
    lookups: {column: file}: the other columns of that file, which has the
      column too, are joined to the rows.

  Returns:
    One row per row of the file; columns of text files are strings.

  Raises:
    UserError: if a file is unreadable, or a lookup has no such column or
      several rows of one value.
  """
  path = Path(path)
  if header == CRITEO:
    frame = _read_criteo(path)
  elif header:
    frame = _without_header(path, list(header))
  else:
    frame = cells.read_file(path)
  for column, file in (lookups or {}).items():
    frame = _look_up(frame, column, file, path)
  return frame


def _read_criteo(path: Path) -> pl.DataFrame:
  """Tabs without a header (the original), or commas with one (samples)."""
  if not path.is_file():
    raise UserError(f"{path}: no such file. Give a file of Criteo's log.")
  with path.open(encoding="utf-8", errors="replace") as file:
    first = file.readline().rstrip("\r\n")
  separator = max("\t,", key=first.count)
  names = [name.strip() for name in first.split(separator)]
  if names[-1] == criteo.FIELDS[-1]:
    frame = _read_csv(path, separator, None)
    renamed = {name: name.lower() for name in names if name in ("Label", "Id")}
    return frame.rename(renamed)
  wanted = list(criteo.NAMES)
  if len(names) != len(wanted):
    raise UserError(
        f"{path}: its first row has {len(names)} fields, the log of Criteo has"
        f" {len(wanted)} (label, 13 numbers, 26 categories). The test file of"
        " the original has no label and cannot be trained on."
    )
  return _read_csv(path, separator, wanted)


def _without_header(path: Path, names: list[str]) -> pl.DataFrame:
  if not path.is_file():
    raise UserError(f"{path}: no such file. Give a CSV, TSV or Parquet file.")
  with path.open(encoding="utf-8", errors="replace") as file:
    first = file.readline()
  return _read_csv(path, max("\t,;|", key=first.count), names)


def _read_csv(
    path: Path, separator: str, names: list[str] | None
) -> pl.DataFrame:
  try:
    return pl.read_csv(
        path,
        separator=separator,
        has_header=names is None,
        new_columns=names,
        infer_schema=False,
        quote_char=None,
    )
  except (pl.exceptions.PolarsError, OSError) as error:
    raise UserError(
        f"{path}: not readable as a table ({first_line(error)})."
    ) from error


def _look_up(
    frame: pl.DataFrame, column: str, file: str, path: Path
) -> pl.DataFrame:
  known = cells.read_file(Path(file))
  for where, table in ((path, frame), (file, known)):
    if column not in table.columns:
      raise UserError(
          f"{where}: no column {column!r} among {table.columns}; it is looked"
          f" up in {file}."
      )
  known = known.with_columns(cells.texts(known[column]).alias(column))
  if known[column].is_duplicated().any():
    twice = known.filter(known[column].is_duplicated())[column][0]
    raise UserError(
        f"{file}: the {column} {twice!r} is in several rows; keep one."
    )
  taken = [
      name for name in known.columns if name != column and name in frame.columns
  ]
  key = cells.texts(frame[column]).alias("lookup/key")
  joined = frame.with_columns(key).join(
      known.drop(taken).rename({column: "lookup/key"}),
      on="lookup/key",
      how="left",
      maintain_order="left",
  )
  return joined.drop("lookup/key")

"""Where embeddings are kept: one row a user or user-day.

A table of embeddings has the columns user_id (str), start (Datetime us UTC of
the first event; null where days were pooled to a user), num_events (int) and
embedding (Array of float32), and `split` when it was made from a dataset.
"""

from collections.abc import Callable, Iterator, Mapping
import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from behavior_lm.common.errors import first_line
from behavior_lm.common.errors import UserError
from behavior_lm.common.files import whole_file

EMBEDDING = "embedding"
COLUMNS = ("user_id", "start", "num_events", EMBEDDING)
# Key of the settings in a Parquet file's metadata.
_SETTINGS = "behavior_lm"


@dataclasses.dataclass(frozen=True)
class Store:
  """One kind of store.

  Attributes:
    write: (path, table, settings), whole or not at all.
    read: path -> table.
    settings: path -> what the writer said.
  """

  write: Callable[[Path, pl.LazyFrame, Mapping[str, Any]], None]
  read: Callable[[Path], pl.DataFrame]
  settings: Callable[[Path], dict[str, Any]]


def _write_parquet(
    path: Path, table: pl.LazyFrame, settings: Mapping[str, Any]
) -> None:
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Polars may create a path after it raised an error; a file is there.
    with whole_file(path) as temporary, temporary.open("wb") as file:
      table.sink_parquet(
          file,
          metadata={_SETTINGS: json.dumps(settings)},
          maintain_order=True,
      )
      file.flush()
      os.fsync(file.fileno())
  except OSError as error:
    raise UserError(f"{path}: cannot be written: {error}.") from error


def _read_parquet(path: Path) -> pl.DataFrame:
  try:
    return pl.read_parquet(path)
  except (pl.exceptions.PolarsError, OSError) as error:
    raise _damaged(path, error) from error


def _parquet_settings(path: Path) -> dict[str, Any]:
  try:
    metadata = pl.read_parquet_metadata(path)
    return json.loads(metadata.get(_SETTINGS, "{}"))
  except (pl.exceptions.PolarsError, OSError, ValueError) as error:
    raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> UserError:
  return UserError(
      f"{path}: is not a Parquet file, or is damaged ({first_line(error)})."
      " Make it again with experiments/embed.py."
  )


# By the end of a file's name.
STORES = {"parquet": Store(_write_parquet, _read_parquet, _parquet_settings)}


def find_store(path: str | Path) -> Store:
  """The store of a path; UserError when its name tells none."""
  kind = Path(path).suffix.removeprefix(".")
  if kind not in STORES:
    known = ", ".join(f".{name}" for name in STORES)
    raise UserError(f"{path}: the name must end in one of {known}.")
  return STORES[kind]


def embedding_column(vectors: np.ndarray) -> pl.Series:
  """[num_rows, embed_dim] float32 -> a column `embedding` of arrays."""
  kind = pl.Array(pl.Float32, vectors.shape[1])
  return pl.Series(EMBEDDING, vectors, dtype=kind)


def write_embeddings(
    path: str | Path,
    table: pl.DataFrame | pl.LazyFrame,
    settings: Mapping[str, Any] | None = None,
) -> None:
  """Writes a table of embeddings, replacing a file that is there.

  Args:
    path: the store to write; its ending chooses the kind.
    table: the columns of COLUMNS, and others.
    settings: JSON values that say how the vectors came about.

  Raises:
    UserError: if a column is missing or the path cannot be written.
  """
  store = find_store(path)
  _check_columns(table.lazy().collect_schema(), Path(path))
  store.write(Path(path), table.lazy(), settings or {})


def read_embeddings(path: str | Path) -> tuple[pl.DataFrame, np.ndarray]:
  """Reads and checks embeddings.

  Returns:
    The table without its column `embedding`, and the vectors
    [num_rows, embed_dim] float32, row for row.

  Raises:
    UserError: if there is no file, it cannot be read, a user or a number of
      events is missing, or a vector is missing, of another length or not
      finite.
  """
  path = Path(path)
  store = _existing(path)
  table = store.read(path)
  _check_columns(table.schema, path)
  table = _with_ids(table, path)
  vectors = _matrix(table[EMBEDDING], path)
  return table.drop(EMBEDDING), vectors


def iter_embeddings(
    path: str | Path, rows: int
) -> Iterator[tuple[pl.DataFrame, np.ndarray]]:
  """Reads what `read_embeddings` reads, at most `rows` rows at a time."""
  path = Path(path)
  _existing(path)
  try:
    with pq.ParquetFile(path) as file:
      first = 0
      for batch in file.iter_batches(rows):
        table = pl.DataFrame(pl.from_arrow(batch))
        _check_columns(table.schema, path)
        table = _with_ids(table, path)
        yield table.drop(EMBEDDING), _matrix(table[EMBEDDING], path, first)
        first += table.height
  except (pa.ArrowException, OSError) as error:
    raise _damaged(path, error) from error


def read_settings(path: str | Path) -> dict[str, Any]:
  """What the writer of a store said of it; empty if nothing."""
  return _existing(Path(path)).settings(Path(path))


def _existing(path: Path) -> Store:
  store = find_store(path)
  if not path.is_file():
    raise UserError(
        f"{path}: no such file. Make it with experiments/embed.py --out {path}."
    )
  return store


def _check_columns(found: Mapping[str, Any], path: Path) -> None:
  missing = [name for name in COLUMNS if name not in found]
  if missing:
    raise UserError(
        f"{path}: no column {missing[0]!r}; embeddings have"
        f" {', '.join(COLUMNS)}."
    )


def _with_ids(table: pl.DataFrame, path: Path) -> pl.DataFrame:
  """The table with user_id as text; UserError if an id or a count is odd."""
  if not table["num_events"].dtype.is_integer():
    raise UserError(
        f"{path}: column 'num_events' is {table['num_events'].dtype}, not"
        " whole numbers. Embed again."
    )
  for name in ("user_id", "num_events"):
    if table[name].null_count():
      raise UserError(f"{path}: column {name!r} has empty cells. Embed again.")
  return table.with_columns(pl.col("user_id").cast(pl.String))


def _matrix(column: pl.Series, path: Path, first: int = 0) -> np.ndarray:
  """Vectors of a column whose first cell is row `first` of the file."""
  kind = column.dtype
  inner = getattr(kind, "inner", None)
  if not isinstance(kind, pl.Array | pl.List) or inner not in (
      pl.Float32,
      pl.Float64,
  ):
    raise UserError(f"{path}: column {EMBEDDING!r} is {kind}, not vectors.")
  if column.null_count():
    row = first + int(column.is_null().arg_max() or 0)
    raise UserError(f"{path}: row {row} has no vector.")
  if isinstance(kind, pl.List):
    lengths = column.list.len().unique().sort().to_list()
    if len(lengths) > 1:
      raise UserError(f"{path}: vectors of several lengths, {lengths}.")
    column = column.list.to_array(lengths[0] if lengths else 0)
  vectors = column.to_numpy().astype(np.float32, copy=False)
  bad = ~np.isfinite(vectors).all(axis=1)
  if bad.any():
    raise UserError(
        f"{path}: the vector of row {first + int(np.argmax(bad))} is not finite"
        f" ({int(bad.sum()):,} such rows). The model or the file is damaged."
    )
  return vectors

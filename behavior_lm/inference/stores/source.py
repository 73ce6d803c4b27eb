"""The vectors that are exported: a file of embed.py, read in bounded memory."""

from collections.abc import Iterator
import dataclasses
import functools
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from behavior_lm.artifacts.vectors import EMBEDDING
from behavior_lm.artifacts.vectors import iter_embeddings
from behavior_lm.artifacts.vectors import read_settings
from behavior_lm.common.errors import UserError
from behavior_lm.common.files import sha256
from behavior_lm.inference.stores.pseudonyms import with_pseudonyms

_SPLIT = "split"
_USER = "user_id"


@dataclasses.dataclass(frozen=True)
class VectorSource:
  """A table of embeddings, or some splits of it.

  Attributes:
    path: of the table, see `artifacts.vectors`.
    splits: names; all when empty.
    salt: of pseudonyms in the place of user ids; empty keeps the ids.
  """

  path: Path
  splits: tuple[str, ...] = ()
  salt: bytes = b""

  def batches(self, rows: int) -> Iterator[tuple[pl.DataFrame, np.ndarray]]:
    """Tables without vectors, and vectors [n, dim] float32, row for row.

    Every batch has `rows` rows, the last one at most as many.

    Raises:
      UserError: if the table is damaged or does not have the splits.
    """
    frames: list[pl.DataFrame] = []
    parts: list[np.ndarray] = []
    held = 0
    for frame, vectors in iter_embeddings(self.path, rows):
      if self.splits:
        chosen = self._chosen(frame)
        frame, vectors = frame.filter(chosen), vectors[chosen.to_numpy()]
      if self.salt:
        frame = with_pseudonyms(frame, self.salt)
      frames.append(frame)
      parts.append(vectors)
      held += len(vectors)
      if held >= rows:
        whole, matrix = pl.concat(frames), np.concatenate(parts)
        yield whole[:rows], matrix[:rows]
        frames, parts, held = [whole[rows:]], [matrix[rows:]], held - rows
    if held:
      yield pl.concat(frames), np.concatenate(parts)

  def read(self) -> tuple[pl.DataFrame, np.ndarray]:
    """The whole table, as `batches` gives its parts."""
    found = list(self.batches(2**16))
    return (
        pl.concat([frame for frame, _ in found]),
        np.concatenate([vectors for _, vectors in found]),
    )

  @functools.cached_property
  def num_rows(self) -> int:
    """Rows of the splits.

    Raises:
      UserError: if there are none.
    """
    table = pl.scan_parquet(self.path)
    if self.splits:
      table = table.filter(self._chosen(table))
    count = int(table.select(pl.len()).collect().item())
    if not count:
      names = f" in {', '.join(self.splits)}" if self.splits else ""
      raise UserError(f"{self.path}: has no rows{names}; nothing to export.")
    return count

  @functools.cached_property
  def dim(self) -> int:
    """Numbers in a vector."""
    _, vectors = next(self.batches(1))
    return vectors.shape[1]

  @functools.cached_property
  def fingerprint(self) -> str:
    """Decides the exported rows: the hash of the file, splits and salt."""
    # A short piece of the hash, so that nobody can try salts on it alone.
    salted = hashlib.sha256(self.salt).hexdigest()[:8]
    return "+".join([
        sha256(self.path), *self.splits, *([salted] if self.salt else [])
    ])

  @functools.cached_property
  def about(self) -> dict[str, Any]:
    """What a manifest says of the source, without its folder."""
    settings = {
        "file": self.path.name,
        "splits": list(self.splits),
        "pseudonyms": bool(self.salt),
    }
    made = read_settings(self.path)
    return {"source": {"sha256": self.fingerprint, **settings, "made": made}}

  def check_users(self) -> None:
    """Raises UserError if a user has more than one row."""
    table = pl.scan_parquet(self.path).select(
        pl.col(_USER).cast(pl.String), pl.col("^split$")
    )
    if self.splits:
      table = table.filter(self._chosen(table))
    twice = (
        table.group_by(_USER).len().filter(pl.col("len") > 1).head(1).collect()
    )
    if twice.height:
      user, count = twice.row(0)
      raise UserError(
          f"{self.path}: user {user!r} has {count} rows, and this store holds"
          " one vector per user. Embed with --unit user, and choose one split"
          " with --splits."
      )

  def _chosen(self, table: pl.DataFrame | pl.LazyFrame) -> Any:
    """Which rows are of the splits: a column, or an expression for it."""
    schema = table.collect_schema()
    if _SPLIT not in schema:
      raise UserError(
          f"{self.path}: has no column 'split', so --splits"
          f" {','.join(self.splits)} chooses nothing. Leave it out."
      )
    wanted = list(self.splits)
    if isinstance(table, pl.DataFrame):
      return table[_SPLIT].is_in(wanted)
    there = set(table.select(pl.col(_SPLIT).unique()).collect()[_SPLIT])
    missing = [name for name in wanted if name not in there]
    if missing:
      raise UserError(
          f"{self.path}: has no split {missing[0]!r}; it has"
          f" {', '.join(sorted(map(str, there)))}."
      )
    return pl.col(_SPLIT).is_in(wanted)


def open_source(
    path: str | Path, splits: tuple[str, ...] = (), salt: bytes = b""
) -> VectorSource:
  """Opens a table of embeddings and checks that it has rows to export.

  Raises:
    UserError: if it cannot be read or has no such rows.
  """
  source = VectorSource(Path(path), splits, salt)
  read_settings(source.path)  # A UserError for files of another kind.
  if EMBEDDING not in pl.read_parquet_schema(source.path):
    raise UserError(
        f"{path}: no column {EMBEDDING!r}. Make it with experiments/embed.py."
    )
  assert source.num_rows
  return source

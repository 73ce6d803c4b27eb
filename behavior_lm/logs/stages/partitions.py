"""The events of one partition, sorted and cut: in memory or on disk."""

from collections.abc import Iterable, Iterator, Mapping
import pathlib
from typing import Protocol

import numpy as np
import polars as pl

from behavior_lm.logs import sequences
from behavior_lm.logs.stages import code_table
from behavior_lm.logs.stages import external_sort
from behavior_lm.logs.stages import read_stage
from behavior_lm.logs.stages import rows as rows_lib
from behavior_lm.logs.stages import spill
from behavior_lm.logs.stages.plan import Plan

# A partition of more rows is sorted on disk, range by range.
MAX_ROWS = 4_000_000


def pairs_path(plan: Plan) -> pathlib.Path:
  """All pairs of the log, in the order of their merged codes."""
  return plan.work / "pairs.parquet"


def values_path(plan: Plan, name: str) -> pathlib.Path:
  """All values of a categorical column, in the order of their merged codes."""
  return plan.work / "categories" / f"{name}.values.parquet"


class Pieces(Protocol):
  """The rows of one partition that one reading task found."""

  num_rows: int

  def rows(self) -> Iterator[np.ndarray]:
    """Yields chunks of rows in the order of the log; not for keeping."""

  def users(self) -> list[pl.DataFrame]:
    """Hash and user_id of their users, several times maybe."""


class Partitions:
  """Sorts partitions; keeps what is the same for all of them.

  Args:
    plan: of the run; its reading tasks are finished and their tables merged.
    categories: for each categorical column the codes that its events get, by
      the merged codes; None leaves the merged codes.
  """

  def __init__(
      self, plan: Plan, categories: Mapping[str, np.ndarray] | None = None
  ):
    self._plan = plan
    self._categories = categories
    self.pairs = pl.read_parquet(pairs_path(plan))
    self.values = {
        name: pl.read_parquet(values_path(plan, name))
        for name in plan.categorical
    }
    self._codes: dict[int, dict[str, np.ndarray]] = {}

  def block(
      self,
      partition: int,
      folder: pathlib.Path,
      pieces: Mapping[int, Pieces] | None = None,
  ) -> sequences.Block:
    """The sorted events: in memory, or on disk if they are many.

    Args:
      partition: which one.
      folder: for the events that do not fit into memory; the caller deletes
        it when the block is no longer needed.
      pieces: its rows by reading task; None takes them from the files that
        the reading tasks of the plan wrote.
    """
    plan, cut = self._plan, self._plan.options.cut()
    if pieces is None:
      pieces = {
          number: spill.StoredPieces(
              read_stage.prefix(plan, number), partition, plan.kinds
          )
          for number in range(len(plan.slices))
      }
    users = spill.unique_users([
        table for piece in pieces.values() for table in piece.users()
    ])

    def read() -> Iterator[np.ndarray]:
      for number in sorted(pieces):
        codes = self._codes_of(number)
        for rows in pieces[number].rows():
          for field, table in codes.items():
            # Missing is -1, which reads the last entry.
            rows[field] = table[rows[field]]
          yield rows

    num_rows = sum(piece.num_rows for piece in pieces.values())
    if num_rows <= MAX_ROWS:
      chunks = list(read())
      empty = [np.empty(0, rows_lib.row_type(plan.kinds))]
      rows = external_sort.sort_rows(np.concatenate(chunks or empty))
      del chunks
      block = sequences.cut_rows(rows, users, cut)
    else:
      # Half, since a range may turn out larger than the sample said.
      ranges = external_sort.sorted_ranges(
          read, num_rows, folder / "ranges", MAX_ROWS // 2
      )
      blocks = (sequences.cut_rows(rows, users, cut) for rows in ranges)
      block = _store(blocks, folder / "columns", cut)
    return sequences.leave_last_out(block) if cut.leave_one_out else block

  def _codes_of(self, number: int) -> dict[str, np.ndarray]:
    """The code of each code of a reading task, by the field of its rows."""
    if number not in self._codes:
      found = pl.read_parquet(read_stage.pairs_path(self._plan, number))
      codes = {
          "pair": code_table.merged_codes(found, self.pairs, code_table.PAIR)
      }
      for name, values in self.values.items():
        path = read_stage.values_path(self._plan, number, name)
        found = pl.read_parquet(path)
        merged = code_table.merged_codes(found, values, code_table.VALUE)
        if self._categories is not None:
          merged = self._categories[name][merged]
        codes[rows_lib.extra_field(name)] = np.append(merged, np.int32(-1))
      self._codes[number] = codes
    return self._codes[number]


def _store(
    blocks: Iterable[sequences.Block],
    folder: pathlib.Path,
    cut: sequences.Cut,
) -> sequences.Block:
  """Joins blocks that follow each other; their events stay on disk."""
  folder.mkdir(parents=True, exist_ok=True)
  tables, kinds, duplicates = [], {}, 0
  for block in blocks:
    arrays = sequences.columns(block) | {"split code": block.split}
    for column, array in arrays.items():
      kinds[column] = array.dtype
      with (folder / column).open("ab") as file:
        file.write(array.tobytes())
    tables.append(block.table)
    duplicates += block.duplicates
  stored: dict[str, np.ndarray] = {
      # As a plain array: slices of a memmap are dear, and there are many.
      column: np.asarray(np.memmap(folder / column, kind, "r+"))
      for column, kind in kinds.items()
  }
  return sequences.Block(
      pair=stored.pop("pair"),
      time=stored.pop("timestamp"),
      split=stored.pop("split code"),
      table=sequences.join_tables(tables, cut),
      duplicates=duplicates,
      extras=stored,
  )

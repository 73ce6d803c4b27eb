"""Sorts a partition that is too large for memory.

Its rows go to ranges of (user, time) on disk, chosen from a sample so that
each one fits; the ranges are sorted one after the other. A user with most of
the log is cut by time like that. Rows of one user and one time stay together:
so many must fit in memory, and their order is that of the log.
"""

from collections.abc import Callable, Iterator
import dataclasses
import pathlib
import shutil

import numpy as np

# Rows that are looked at to choose the ranges.
_SAMPLE_ROWS = 200_000


@dataclasses.dataclass(frozen=True)
class Bounds:
  """Where ranges begin: users and times of their first rows, sorted."""

  users: np.ndarray
  times: np.ndarray

  def place(self, rows: np.ndarray) -> np.ndarray:
    """[n] rows -> [n] numbers of ranges, 0 to len(users)."""
    first = np.searchsorted(self.users, rows["user"], side="left")
    place = np.searchsorted(self.users, rows["user"], side="right")
    inside = place > first
    for user in np.unique(self.users):
      low = np.searchsorted(self.users, user, side="left")
      high = np.searchsorted(self.users, user, side="right")
      mask = np.flatnonzero(inside & (rows["user"] == user))
      place[mask] = low + np.searchsorted(
          self.times[low:high], rows["time"][mask], side="right"
      )
    return place


def sort_rows(rows: np.ndarray) -> np.ndarray:
  """Rows by user hash and time; ties as they came."""
  return rows[np.lexsort((rows["time"], rows["user"]))]


def sorted_ranges(
    read: Callable[[], Iterator[np.ndarray]],
    num_rows: int,
    folder: pathlib.Path,
    max_rows: int,
) -> Iterator[np.ndarray]:
  """Yields all rows sorted by user hash and time, ties as they came.

  Args:
    read: gives the rows, chunk after chunk; called twice.
    num_rows: how many they are.
    folder: for the ranges; made, and empty in the end.
    max_rows: about how many rows may be in memory.

  Yields:
    Arrays that follow each other; no user and time is in two of them.
  """
  bounds = _choose(read(), num_rows, max_rows)
  if not len(bounds.users):
    # One user and one time alone, or few enough rows.
    yield sort_rows(np.concatenate(list(read())))
    return
  shutil.rmtree(folder, ignore_errors=True)  # Of a run that was killed.
  folder.mkdir(parents=True)
  paths = [folder / f"{n:04d}" for n in range(len(bounds.users) + 1)]
  kind = _distribute(read(), bounds, paths)
  for path in paths:
    count = path.stat().st_size // kind.itemsize
    if count > 2 * max_rows:
      # The sample was unlucky: once more, with a sample of this range.
      yield from sorted_ranges(
          lambda path=path: _chunks(path, kind, max_rows),  # type: ignore[misc]
          count,
          folder / f"{path.name}.ranges",
          max_rows,
      )
    elif count:
      yield sort_rows(np.fromfile(path, kind))
    path.unlink()
  folder.rmdir()


def _choose(
    chunks: Iterator[np.ndarray], num_rows: int, max_rows: int
) -> Bounds:
  """Bounds of ranges of at most about `max_rows` rows."""
  step = max(1, num_rows // _SAMPLE_ROWS)
  # A row of each run of `step` rows, at random: logs have periods.
  random = np.random.default_rng(0)
  users, times = [], []
  for rows in chunks:
    places = np.arange(0, len(rows), step)
    places += random.integers(0, step, len(places))
    sample = rows[places[places < len(rows)]]
    users.append(sample["user"])
    times.append(sample["time"])
  user, time = np.concatenate(users), np.concatenate(times)
  order = np.lexsort((time, user))
  count = -(-num_rows // max_rows)
  # The smallest key first: a range that began with it would leave nothing
  # before it, and one of a single key would be cut again for ever.
  places = order[np.arange(count) * len(order) // count]
  user, time = user[places], time[places]
  new = (user[1:] != user[:-1]) | (time[1:] != time[:-1])
  return Bounds(user[1:][new], time[1:][new])


def _distribute(
    chunks: Iterator[np.ndarray], bounds: Bounds, paths: list[pathlib.Path]
) -> np.dtype:
  kind = None
  for path in paths:
    path.write_bytes(b"")
  for rows in chunks:
    kind = rows.dtype
    place = bounds.place(rows).astype(np.uint16)
    ordered = rows[np.argsort(place, kind="stable")]
    ends = np.cumsum(np.bincount(place, minlength=len(paths)))
    for path, begin, end in zip(paths, [0, *ends[:-1]], ends, strict=True):
      if end > begin:
        with path.open("ab") as file:
          file.write(ordered[begin:end].tobytes())
  if kind is None:
    raise ValueError("no rows to sort")
  return kind


def _chunks(
    path: pathlib.Path, kind: np.dtype, max_rows: int
) -> Iterator[np.ndarray]:
  with path.open("rb") as file:
    while len(rows := np.fromfile(file, kind, max_rows)):
      yield rows

"""Writes synthetic logs to files as games write them, broken rows included."""

from collections.abc import Iterator
import contextlib
import dataclasses
import json
from pathlib import Path
import shutil
import tempfile
from typing import Any, TextIO

import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.common.files import whole_file
from behavior_lm.logs import schema
from behavior_lm.synthetic import generate as synthetic
from behavior_lm.synthetic.dirt import Dirt
from behavior_lm.synthetic.dirt import soil

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
# What one row of a file may say instead of an event; see `broken_rows`.
NUM_BREAKS = 6
_BREAK_STREAM = 5
# Beyond this many events not all players are made at once, see `batch_size`.
LARGE_LOG, EVENTS_PER_BATCH = 5_000_000, 1_000_000
_LINES_AT_ONCE = 100_000
# Rows of the truth's tables that are turned into JSON at a time.
_TRUTH_ROWS = 100_000
_CLEAN = Dirt()
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
_BAD_TIMES = ("yesterday", "9999-12-31T23:59:59Z", "1066-10-14T09:00:00Z")


@dataclasses.dataclass(frozen=True)
class Written:
  """What was written: good rows, broken rows, users, and the oracle."""

  rows: int
  bad_rows: int
  users: int
  oracle: dict[str, Any]


def write_logs(
    config: synthetic.SyntheticConfig,
    out: Path,
    *,
    labels: Path | None = None,
    truth: Path | None = None,
    bad_rows: int = 0,
    dirt: Dirt = _CLEAN,
    users_per_batch: int = 0,
    overwrite: bool = True,
) -> Written:
  """Generates logs into files; each appears whole or not at all.

  The log comes last, so that its labels and truth are there when it is. Rows
  are in order of time over all users; with `users_per_batch`, over the users
  of one batch, batch after batch.

  Args:
    config: what to generate.
    out: .csv, .tsv, .jsonl or .parquet; text has times like
      2024-03-04T10:01:22Z and a last row without an end if it is broken.
    labels: .csv or .parquet of user_id, bot, churn.
    truth: .json of SyntheticLogs.truth, frames as lists by column, and the
      dirt; rows that it names are those of the log without dirt.
    dirt: on the good rows; a design id that is lost is empty, in Parquet null.
    bad_rows: rows of no user, no event, no or impossible time and, in text,
      broken lines, among the good ones.
    users_per_batch: bounds memory; 0 makes all users at once.
    overwrite: whether files that are there are replaced.

  Raises:
    UserError: for a suffix that is not known, a folder that is missing, or a
      file that is there without `overwrite`.
  """
  _check_target(out, SUFFIXES, overwrite)
  for path, suffixes in ((labels, (".csv", ".parquet")), (truth, (".json",))):
    if path is not None:
      _check_target(path, suffixes, overwrite)
  if bad_rows < 0 or users_per_batch < 0:
    raise UserError(
        f"bad_rows is {bad_rows} and users_per_batch {users_per_batch}; give 0"
        " or more."
    )
  size = users_per_batch or config.num_users
  num_batches = -(-config.num_users // size)
  rng = np.random.default_rng([config.seed, _BREAK_STREAM])
  kept: list[synthetic.SyntheticLogs] = []
  rows = 0
  with (
      whole_file(out) as temporary,
      _open_log(temporary, out.suffix, rng) as log,
  ):
    for number, batch in enumerate(synthetic.generate_batches(config, size)):
      share = bad_rows // num_batches
      if number == num_batches - 1:
        share = bad_rows - share * number
      events = soil(batch.events, dirt, config.seed)
      events = events.sort(schema.TIMESTAMP, maintain_order=True)
      log.write(events, share, is_last=number == num_batches - 1)
      rows += events.height
      kept.append(_small_tables(batch, with_links=truth is not None))
    whole = synthetic.join(config, kept)
    if labels is not None:
      _write_labels(whole.labels, labels)
    if truth is not None:
      _write_truth(whole.truth | {"dirt": dataclasses.asdict(dirt)}, truth)
  return Written(rows, bad_rows, config.num_users, whole.truth["oracle"])


def _small_tables(
    batch: synthetic.SyntheticLogs, with_links: bool
) -> synthetic.SyntheticLogs:
  """What is kept of a batch that is on disk: nothing that grows with events.

  But the links between choices and effects, where the truth is asked for.
  """
  links = batch.truth["dependencies"]
  return dataclasses.replace(
      batch,
      events=batch.events.clear(),
      truth=batch.truth
      | {"dependencies": links if with_links else links.clear()},
  )


def batch_size(config: synthetic.SyntheticConfig) -> int:
  """`users_per_batch` that keeps a large log's memory small; 0 for others."""
  if config.expected_events <= LARGE_LOG:
    return 0
  return max(
      int(EVENTS_PER_BATCH / config.expected_events * config.num_users), 1
  )


def broken_rows(
    events: pl.DataFrame, count: int, rng: np.random.Generator
) -> pl.DataFrame:
  """`count` rows drawn from events (all String), each broken in one way.

  Adds a column `cut`: the share of the line that was written.
  """
  rows = events[rng.integers(events.height, size=count)]
  way = pl.Series("way", np.arange(count) % NUM_BREAKS)
  cut = pl.Series("cut", np.where(way == 5, rng.uniform(0.2, 0.6, count), 1.0))
  changes = [
      (schema.USER_ID, 0, ""),
      (schema.EVENT_ID, 1, ""),
      *(
          (schema.TIMESTAMP, 2 + number, text)
          for number, text in enumerate(_BAD_TIMES)
      ),
  ]
  rows = rows.with_columns(way, cut)
  for column, number, text in changes:
    rows = rows.with_columns(
        pl.when(pl.col("way") == number)
        .then(pl.lit(text))
        .otherwise(pl.col(column))
        .alias(column)
    )
  return rows.drop("way")


class _TextLog:
  """CSV, TSV or JSON Lines, one batch after the other."""

  def __init__(self, file: TextIO, suffix: str, rng: np.random.Generator):
    self._file = file
    self._rng = rng
    self._suffix = suffix
    self._separator = "\t" if suffix == ".tsv" else ","
    if suffix != ".jsonl":
      file.write(self._separator.join(schema.EVENT_COLUMNS) + "\n")

  def write(self, events: pl.DataFrame, bad_rows: int, is_last: bool) -> None:
    text = events.with_columns(
        pl.col(schema.TIMESTAMP).dt.strftime(_TIME_FORMAT),
        pl.col(schema.DESIGN_ID).fill_null(""),
    )
    if bad_rows:
      self._write_with_broken(text, bad_rows, is_last)
      return
    # Joined by the frame: fast, and no line is an object of its own.
    for piece in text.iter_slices(_LINES_AT_ONCE):
      self._file.write(self._lines(piece).str.join("\n").item() + "\n")

  def _write_with_broken(
      self, text: pl.DataFrame, bad_rows: int, is_last: bool
  ) -> None:
    lines, end, rng = self._lines(text).to_list(), "\n", self._rng
    broken = broken_rows(text, bad_rows, rng)
    bad = [
        line[: max(int(len(line) * cut), 1)]
        for line, cut in zip(self._lines(broken), broken["cut"], strict=True)
    ]
    # A log that stopped in the middle of a row: the file's own last row.
    tail = []
    if is_last:
      last = lines[int(rng.integers(len(lines)))]
      bad.pop()
      tail, end = [last[: len(last) // 3]], ""
    places = np.sort(rng.integers(len(lines) + 1, size=len(bad)))
    lines = np.insert(np.array(lines, object), places, bad).tolist() + tail
    self._file.write("\n".join(lines) + end)

  def _lines(self, text: pl.DataFrame) -> pl.Series:
    columns = [pl.col(name) for name in schema.EVENT_COLUMNS]
    if self._suffix == ".jsonl":
      fields = ", ".join(f'"{name}": "{{}}"' for name in schema.EVENT_COLUMNS)
      # Doubled braces are text to pl.format as they are to str.format.
      line = pl.concat_str(
          pl.lit("{"), pl.format(fields, *columns), pl.lit("}")
      )
    else:
      line = pl.concat_str(columns, separator=self._separator)
    return text.select(line.alias("line"))["line"]


class _ParquetLog:
  """Parquet: a part for each batch, then all of them in one file."""

  def __init__(self, path: Path, folder: Path, rng: np.random.Generator):
    self._path = path
    self._rng = rng
    self._folder = folder
    self._parts: list[Path] = []

  def write(self, events: pl.DataFrame, bad_rows: int, is_last: bool) -> None:
    if bad_rows:
      events = _with_broken_values(events, bad_rows, self._rng)
    self._parts.append(self._folder / f"{len(self._parts):06d}.parquet")
    events.write_parquet(self._parts[-1])
    if is_last:
      pl.scan_parquet(self._parts).sink_parquet(self._path)


def _with_broken_values(
    events: pl.DataFrame, count: int, rng: np.random.Generator
) -> pl.DataFrame:
  """Parquet has types: a broken value is a null, or a time out of range."""
  text = events.with_columns(
      pl.col(schema.TIMESTAMP).dt.strftime(_TIME_FORMAT)
  )
  broken = broken_rows(text, count, rng).drop("cut")
  broken = broken.with_columns(
      pl.col(schema.USER_ID, schema.EVENT_ID).replace("", None),
      pl.col(schema.TIMESTAMP).str.to_datetime(
          _TIME_FORMAT, time_unit="us", time_zone="UTC", strict=False
      ),
  )
  # The sixth way cuts lines, of which there are none here.
  whole = np.arange(count) % NUM_BREAKS == NUM_BREAKS - 1
  broken = broken.with_columns(
      pl.when(pl.Series(whole))
      .then(None)
      .otherwise(pl.col(schema.EVENT_ID))
      .alias(schema.EVENT_ID)
  )
  order = np.argsort(
      np.append(
          np.arange(events.height), rng.integers(events.height, size=count)
      ),
      kind="stable",
  )
  return pl.concat([events, broken])[order]


@contextlib.contextmanager
def _open_log(
    path: Path, suffix: str, rng: np.random.Generator
) -> Iterator[_TextLog | _ParquetLog]:
  if suffix == ".parquet":
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
      yield _ParquetLog(path, folder, rng)
    finally:
      shutil.rmtree(folder, ignore_errors=True)
  else:
    with path.open("w", encoding="utf-8") as file:
      yield _TextLog(file, suffix, rng)


def _write_labels(labels: pl.DataFrame, path: Path) -> None:
  with whole_file(path) as temporary:
    if path.suffix == ".csv":
      labels.write_csv(temporary)
    else:
      labels.write_parquet(temporary)


def _write_truth(truth: dict[str, Any], path: Path) -> None:
  with (
      whole_file(path) as temporary,
      temporary.open("w", encoding="utf-8") as file,
  ):
    for number, (name, value) in enumerate(truth.items()):
      file.write(f"{', ' if number else '{'}{json.dumps(name)}: ")
      if isinstance(value, pl.DataFrame):
        _write_columns(value, file)
      else:
        json.dump(value, file)
    file.write("}")


def _write_columns(frame: pl.DataFrame, file: TextIO) -> None:
  """A frame as an object of lists; few rows at a time become objects."""
  for number, column in enumerate(frame):
    file.write(f"{', ' if number else '{'}{json.dumps(column.name)}: [")
    for row in range(0, len(column), _TRUTH_ROWS):
      text = json.dumps(column[row : row + _TRUTH_ROWS].to_list())
      file.write((", " if row else "") + text[1:-1])
    file.write("]")
  file.write("}")


def _check_target(
    path: Path, suffixes: tuple[str, ...], overwrite: bool
) -> None:
  if path.suffix not in suffixes:
    raise UserError(f"{path}: the name must end in {' or '.join(suffixes)}.")
  if path.is_dir():
    raise UserError(f"{path} is a folder; give the name of a file.")
  if not path.parent.is_dir():
    raise UserError(f"{path}: there is no folder {path.parent}; create it.")
  if path.exists() and not overwrite:
    raise UserError(f"{path} is there already; --overwrite replaces it.")

"""Raw logs -> a dataset folder: read, check, sort, cut, write.

Memory does not grow with the log: batches go to partitions on disk (spill),
each partition is sorted and cut alone (sequences), and examples are written
from disk. Only the distinct pairs and one row a sequence stay in memory.
"""

from collections.abc import Iterator
import dataclasses
import os
import pathlib
import shutil
from typing import Any

import numpy as np
import polars as pl

from behavior_lm.data import clean
from behavior_lm.data import dataset
from behavior_lm.data import dataset_writer
from behavior_lm.data import delimited
from behavior_lm.data import folder as folder_lib
from behavior_lm.data import jsonl
from behavior_lm.data import parquet_log
from behavior_lm.data import quarantine
from behavior_lm.data import report
from behavior_lm.data import schema
from behavior_lm.data import sequences
from behavior_lm.data import sources
from behavior_lm.data import spill
from behavior_lm.data import splits
from behavior_lm.data import timestamps
from behavior_lm.data.progress import Progress
from behavior_lm.errors import UserError

# Above so many bad rows, and more of them than good ones, reading stops.
_HOPELESS_ROWS = 100_000
# Folder of the partitions, inside the folder being built.
_WORK = "work"


@dataclasses.dataclass(frozen=True)
class Options:
  """What to read and how; experiments/prepare.py has a flag for each.

  Attributes:
    logs: a file, a folder or a glob.
    out: the dataset folder to write.
    unit: one example is a `user_day` or a `user`.
    split_time: from here on events are test events; None for no such split.
    user_fraction: share of users held out.
    columns: {ours: theirs} for columns of other names.
    timezone: zone of times without an offset, and of the days; None is UTC,
      and refuses logs that mix times with and without an offset.
    time_unit: of epoch numbers: auto, s, ms, us or ns.
    log_format: auto, csv, tsv, jsonl or parquet.
    encoding: of text files.
    max_bad_fraction: larger shares of bad rows are an error.
    seed: of the choice of held-out users.
    overwrite: replace a dataset that is there.
    drop_duplicates: keep only the first of equal rows.
  """

  logs: str
  out: str
  unit: str = sequences.USER_DAY
  split_time: str | None = None
  user_fraction: float = 0.0
  columns: dict[str, str] = dataclasses.field(default_factory=dict)
  timezone: str | None = None
  time_unit: str = "auto"
  log_format: str = "auto"
  encoding: str = "utf-8"
  max_bad_fraction: float = 0.01
  seed: int = 0
  overwrite: bool = False
  drop_duplicates: bool = False


@dataclasses.dataclass
class _Read:
  """What reading left behind."""

  events: spill.Spill
  pairs: pl.DataFrame
  final: np.ndarray
  sources: list[dict[str, Any]]
  rows: int


def prepare(options: Options, progress: Progress) -> dict[str, Any]:
  """Writes the dataset folder `options.out`.

  Args:
    options: what to read and how.
    progress: told how far it is.

  Returns:
    The content of its report.json.

  Raises:
    UserError: for every fault of the log or the options; nothing is left at
      `options.out` then.
  """
  _check_options(options)
  times = timestamps.TimeReader(options.timezone, options.time_unit)
  cut = sequences.Cut(
      unit=options.unit,
      zone=times.zone,
      split_time=None
      if options.split_time is None
      else timestamps.parse_moment(
          options.split_time, times.zone, "--split_time"
      ),
      user_fraction=options.user_fraction,
      seed=options.seed,
      drop_duplicates=options.drop_duplicates,
  )
  files = sources.find_sources(options.logs, options.log_format)
  out = pathlib.Path(os.path.abspath(pathlib.Path(options.out).expanduser()))
  with folder_lib.atomic_folder(
      out, overwrite=options.overwrite, is_ours=dataset.is_dataset
  ) as building:
    rejected = quarantine.Quarantine(building / dataset.QUARANTINE_FILE)
    try:
      read = _read_all(files, options, times, rejected, building, progress)
    finally:
      rejected.close()
    rejected.check(read.rows, options.max_bad_fraction)
    table, stored, statistics = _sort_all(read, cut, building, progress)
    _check_content(table, options, cut)
    content = dataset_writer.write_examples(
        table, stored, building / dataset.TFDS_FOLDER, progress
    )
    shutil.rmtree(building / _WORK)
    settings = dataset_writer.describe_settings(cut, options.columns)
    settings["sources"] = read.sources
    settings["content"] = content
    summary = report.summarise(
        table=table,
        pairs=read.pairs,
        statistics=statistics,
        settings=settings,
        rows=read.rows,
        rejected=rejected,
        time_kinds=times.kinds,
    )
    dataset_writer.write_folder(
        building, table, read.pairs, statistics, summary, settings
    )
  return summary


def _check_options(options: Options) -> None:
  if options.unit not in sequences.UNITS:
    raise UserError(
        f"--unit {options.unit!r} is unknown; use"
        f" {' or '.join(sequences.UNITS)}."
    )
  if not 0 <= options.user_fraction < 1:
    raise UserError(
        f"--user_fraction {options.user_fraction} must be at least 0 and"
        " below 1."
    )
  if not 0 <= options.max_bad_fraction <= 1:
    raise UserError(
        f"--max_bad_fraction {options.max_bad_fraction} must be between 0"
        " and 1."
    )


def _read_all(
    files: list[sources.Source],
    options: Options,
    times: timestamps.TimeReader,
    rejected: quarantine.Quarantine,
    building: pathlib.Path,
    progress: Progress,
) -> _Read:
  """Reads every file into partitions on disk."""
  work = building / _WORK
  work.mkdir()
  events = spill.Spill(work, sum(_estimate_rows(file) for file in files))
  table = spill.PairTable()
  described = []
  rows = 0
  for file in files:
    before, bad_before = events.rows, rejected.total
    for raw in _read_file(file, options, rejected):
      good = clean.clean(raw, file=file.name, times=times, rejected=rejected)
      events.add(
          good[schema.USER_ID],
          table.encode(good),
          good[schema.TIMESTAMP].to_numpy(),
      )
      progress.rows(events.rows + rejected.total, file.name)
      if rejected.total > max(_HOPELESS_ROWS, events.rows):
        rejected.check(
            events.rows + rejected.total, options.max_bad_fraction
        )
    found = events.rows - before + rejected.total - bad_before
    rows += found
    described.append({
        "name": file.name,
        "bytes": file.size,
        "rows": found,
        "sha256": sources.sha256(file.path),
    })
  if not rows:
    raise UserError(_no_rows(options.logs, files))
  if not events.rows:
    rejected.check(rows, min(options.max_bad_fraction, 0.5))
  pairs, final = table.finish()
  return _Read(events, pairs, final, described, rows)


def _no_rows(logs: str, files: list[sources.Source]) -> str:
  first = files[0]
  what = "has column names and no rows" if first.size else "is empty (0 bytes)"
  if len(files) > 1:
    return f"--logs {logs}: no rows in {len(files)} files; {first.name} {what}."
  return f"{first.path}: the file {what}."


def _estimate_rows(source: sources.Source) -> int:
  if source.format == sources.PARQUET:
    return parquet_log.count_rows(source)
  # Short rows on purpose: too many partitions cost less than too large ones.
  return source.size * (10 if source.gzipped else 1) // 40


def _read_file(
    source: sources.Source,
    options: Options,
    rejected: quarantine.Quarantine,
) -> Iterator[pl.DataFrame]:
  if source.format == sources.PARQUET:
    return parquet_log.read_parquet(source, options.columns)
  read = (
      jsonl.read_jsonl
      if source.format == sources.JSONL
      else delimited.read_delimited
  )
  return read(source, options.columns, options.encoding, rejected)


def _sort_all(
    read: _Read, cut: sequences.Cut, building: pathlib.Path, progress: Progress
) -> tuple[pl.DataFrame, list[sequences.Stored], report.Statistics]:
  """Sorts and cuts each partition; its events stay on disk."""
  statistics = report.Statistics(read.pairs.height)
  tables, stored = [], []
  for partition in range(read.events.num_partitions):
    rows, users = read.events.read(partition)
    read.events.drop(partition)
    block = sequences.cut_partition(rows, users, read.final, cut)
    statistics.add(block)
    tables.append(block.table)
    stored.append(sequences.store(block, building / _WORK, partition))
    progress.stage("sorting", partition + 1, read.events.num_partitions)
  return sequences.number_sequences(tables), stored, statistics


def _check_content(
    table: pl.DataFrame, options: Options, cut: sequences.Cut
) -> None:
  counts = dict.fromkeys(splits.SPLITS, 0)
  counts |= dict(
      table.group_by("split").agg(pl.col("num_events").sum()).iter_rows()
  )
  moments = table.select(
      pl.col("start").to_physical().min(), pl.col("end").to_physical().max()
  ).row(0)
  splits.check_splits(
      counts,
      period=(
          timestamps.format_moment(moments[0]),
          timestamps.format_moment(moments[1]),
      ),
      split_time=options.split_time,
      user_fraction=options.user_fraction,
  )
  splits.check_leaks(table, cut.split_time)

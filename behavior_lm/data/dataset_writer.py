"""Writes the files of a dataset folder."""

from collections.abc import Iterator
import functools
import hashlib
import json
import os
import pathlib
from typing import Any

import polars as pl

from behavior_lm.data import dataset
from behavior_lm.data import folder as folder_lib
from behavior_lm.data import report
from behavior_lm.data import report_text
from behavior_lm.data import schema
from behavior_lm.data import sequences
from behavior_lm.data import splits
from behavior_lm.data import timestamps
from behavior_lm.data.builders import event_log
from behavior_lm.data.progress import Progress

# Events of one array_record file, about 40 MB.
SHARD_EVENTS = 4_000_000


def write_examples(
    table: pl.DataFrame,
    stored: list[sequences.Stored],
    folder: pathlib.Path,
    progress: Progress,
) -> str:
  """Writes the TFDS dataset.

  Args:
    table: as `sequences.number_sequences` returns it.
    stored: the events of each partition.
    folder: where to.
    progress: told how far it is.

  Returns:
    A hash of all examples in their order.
  """
  content = hashlib.sha256()
  total = int(table["num_events"].sum())
  done = 0

  def examples(rows: pl.DataFrame) -> Iterator[tuple[int, event_log.Example]]:
    nonlocal done
    for key, example in enumerate(sequences.read_examples(rows, stored)):
      content.update(f"{example['user_id']!r} {len(example['pair'])}".encode())
      content.update(example["pair"])
      content.update(example["timestamp"])
      done += len(example["pair"])
      progress.stage("writing events", done, total)
      yield key, example

  shards: dict[str, list[event_log.Shard]] = {}
  for name in splits.SPLITS:
    rows = table.filter(pl.col("split") == name)
    if rows.height:
      content.update(name.encode())
      shards[name] = [
          functools.partial(examples, part)
          for part in sequences.split_shards(rows, SHARD_EVENTS)
      ]
  event_log.write_event_log(shards, folder)
  return content.hexdigest()


def describe_settings(
    cut: sequences.Cut, columns: dict[str, str]
) -> dict[str, Any]:
  """The settings that decide what a dataset holds."""
  split_time = cut.split_time
  return {
      "schema_version": schema.SCHEMA_VERSION,
      "unit": cut.unit,
      "timezone": cut.zone,
      "split_time": None
      if split_time is None
      else timestamps.format_moment(split_time),
      "user_fraction": cut.user_fraction,
      "seed": cut.seed,
      "drop_duplicates": cut.drop_duplicates,
      "columns": {
          name: columns.get(name, name) for name in schema.EVENT_COLUMNS
      },
  }


def write_folder(
    building: pathlib.Path,
    table: pl.DataFrame,
    pairs: pl.DataFrame,
    statistics: report.Statistics,
    summary: dict[str, Any],
    settings: dict[str, Any],
) -> None:
  """Writes everything but the examples; dataset.json comes last."""
  train = splits.SPLITS.index(splits.TRAIN)
  # Counts of train alone: a vocabulary made from them knows no test day.
  pairs = pairs.with_columns(
      pl.Series("train_count", statistics.pair_counts[train])
  )
  pairs.write_parquet(building / dataset.PAIRS_FILE)
  table.select(
      "split", "index", schema.USER_ID, "start", "num_events"
  ).write_parquet(building / dataset.SEQUENCES_FILE)
  _write_json(building / dataset.REPORT_FILE, summary)
  (building / "report.md").write_text(
      report_text.to_markdown(summary), encoding="utf-8"
  )
  fingerprint = hashlib.sha256(settings.pop("content").encode())
  fingerprint.update(f"{schema.SCHEMA_VERSION} {settings['unit']}".encode())
  fingerprint.update(pairs.write_json().encode())
  meta = settings | {
      "splits": {
          name: {
              key: part[key]
              for key in ("num_sequences", "num_events", "num_users")
          }
          for name, part in summary["splits"].items()
      },
      "num_pairs": pairs.height,
      "quarantined_rows": summary["rejected"]["rows"],
      "fingerprint": fingerprint.hexdigest(),
      "tfds_folder": str(
          pathlib.PurePosixPath(dataset.TFDS_FOLDER) / event_log.FOLDER
      ),
      "files": {
          path.relative_to(building).as_posix(): path.stat().st_size
          for path in sorted(building.rglob("*"))
          if path.is_file() and path.name != folder_lib.OWNER_FILE
      },
  }
  _write_json(building / dataset.META_FILE, meta)


def _write_json(path: pathlib.Path, content: dict[str, Any]) -> None:
  with path.open("w", encoding="utf-8") as file:
    json.dump(content, file, indent=2, ensure_ascii=False)
    file.write("\n")
    file.flush()
    os.fsync(file.fileno())

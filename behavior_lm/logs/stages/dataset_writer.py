"""Last stage: what all tasks found -> the files of a dataset folder."""

from collections.abc import Mapping, Sequence
import errno
import hashlib
import json
import os
import pathlib
import shutil
from typing import Any

import numpy as np
import polars as pl

from behavior_lm.common.lock import LOCK
from behavior_lm.common.progress import CommandProgress
from behavior_lm.logs import checksum
from behavior_lm.logs import dataset
from behavior_lm.logs import formats
from behavior_lm.logs import integrity
from behavior_lm.logs import schema
from behavior_lm.logs import sequences
from behavior_lm.logs import splits
from behavior_lm.logs.builders import event_log
from behavior_lm.logs.readers import timestamps
from behavior_lm.logs.reports import extra_statistics
from behavior_lm.logs.reports import report
from behavior_lm.logs.reports import report_text
from behavior_lm.logs.reports import suspicious
from behavior_lm.logs.stages import partitions
from behavior_lm.logs.stages import plan as plans
from behavior_lm.logs.stages import read_results
from behavior_lm.logs.stages import vocabulary
from behavior_lm.logs.stages.options import Options
from behavior_lm.logs.stages.plan import Plan

Result = dict[str, Any]


def write(
    plan: Plan,
    reads: Sequence[Result],
    sorts: Sequence[Result],
    skipped: Mapping[str, str],
    progress: CommandProgress,
) -> dict[str, Any]:
  """Writes everything but the examples; dataset.json comes last.

  Args:
    plan: of the run.
    reads: results of the reading tasks, in the order of the log.
    sorts: results of the sorting tasks, in the order of the partitions.
    skipped: {name: why it was not read} of the other files of the log.
    progress: told how far it is.

  Returns:
    The content of report.json.

  Raises:
    UserError: if a split that was asked for is empty.
  """
  building, cut = plan.building, plan.options.cut()
  progress.stage("finishing", 0, 1)
  pairs = pl.read_parquet(partitions.pairs_path(plan))
  table = sequences.number_sequences([
      pl.read_parquet(plan.work / found["table"]) for found in sorts
  ])
  _check_content(table, plan.options, cut)
  statistics = report.Statistics(pairs.height)
  extras = extra_statistics.ExtraStatistics(plan.kinds)
  for found in sorts:
    with np.load(plan.work / found["statistics"]) as state:
      statistics.absorb(state)
      extras.absorb(state)
  settings = _describe(cut, plan.options)
  summary = report.summarise(
      table=table,
      pairs=pairs,
      statistics=statistics,
      settings=settings | {"sources": read_results.sources(plan, reads)},
      rows=read_results.total_rows(reads),
      rejected=read_results.rejected(
          plan, reads, building / dataset.QUARANTINE_FILE
      ),
      time_kinds=read_results.times(plan, reads).kinds,
  )
  summary["not_read"] = dict(skipped)
  summary["warnings"] = suspicious.find(
      table.select(schema.USER_ID, "num_events"),
      pairs.with_columns(
          pl.Series("num_events", statistics.pair_counts.sum(axis=0))
      ),
      read_results.times(plan, reads).unclear,
  ) + suspicious.uncovered(summary["splits"])
  categories = _write_categories(plan)
  summary["extras"] = extras.summary(
      {name: part["num_events"] for name, part in summary["splits"].items()},
      {name: table.height for name, table in categories.items()},
  )
  summary["warnings"] += suspicious.imprecise(summary["extras"])
  # Counts of train alone: a vocabulary made from them knows no test day.
  counts = statistics.pair_counts[splits.SPLITS.index(splits.TRAIN)]
  pairs = pairs.with_columns(pl.Series("train_count", counts))
  pairs.write_parquet(building / dataset.PAIRS_FILE)
  table.select(
      "split", "index", schema.USER_ID, "start", "num_events"
  ).write_parquet(building / dataset.SEQUENCES_FILE)
  _write_json(building / dataset.REPORT_FILE, summary)
  (building / "report.md").write_text(
      report_text.to_markdown(summary), encoding="utf-8"
  )
  known = _link_shards(plan, sorts)
  hashes = checksum.total(
      [int(found["hashes"], 16) for found in sorts]
      + [checksum.pairs_hash(pairs)]
      + [checksum.categories_hash(*item) for item in categories.items()]
  )
  meta = settings | {
      "settings": settings,
      "command": plan.options.command,
      "extras": {
          name: {key: part[key] for key in part if key != "splits"}
          for name, part in summary["extras"].items()
      },
      "settings_hash": checksum.to_hex(
          checksum.text_hash(json.dumps(settings, sort_keys=True))
      ),
      "sources": read_results.sources(plan, reads),
      "ordinal": formats.is_ordinal(plan.options.log_format),
      "examples_hash": checksum.to_hex(hashes),
      "fingerprint": _fingerprint(hashes, settings["unit"], pairs),
      "splits": {
          name: {
              key: part[key]
              for key in ("num_sequences", "num_events", "num_users")
          }
          for name, part in summary["splits"].items()
      },
      "num_pairs": pairs.height,
      "quarantined_rows": summary["rejected"]["rows"],
      "tfds_folder": str(
          pathlib.PurePosixPath(dataset.TFDS_FOLDER) / event_log.FOLDER
      ),
      "files": integrity.describe_files(building, known, _is_kept),
  }
  meta[integrity.SELF_HASH] = integrity.self_hash(meta)
  _write_json(building / dataset.META_FILE, meta)
  shutil.rmtree(plan.work)
  (building / plans.PLAN_FILE).unlink()
  return summary


def _write_categories(plan: Plan) -> dict[str, pl.DataFrame]:
  """Gives the vocabularies of the categorical columns to the dataset."""
  tables = {}
  for name in plan.categorical:
    tables[name] = pl.read_parquet(vocabulary.path(plan, name))
    path = plan.building / dataset.categories_file(name)
    path.parent.mkdir(exist_ok=True)
    tables[name].write_parquet(path)
  return tables


def _is_kept(name: str) -> bool:
  """Whether a file of the folder being built is one of the dataset's."""
  gone = (plans.PLAN_FILE, LOCK, dataset.META_FILE)
  return name not in gone and not name.startswith(plans.WORK + "/")


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
      valid_time=options.valid_time,
      user_fraction=options.user_fraction,
      valid_fraction=options.valid_fraction,
      leave_one_out=options.leave_one_out,
  )
  splits.check_leaks(table, cut)


def _describe(cut: sequences.Cut, options: Options) -> dict[str, Any]:
  """The settings that decide what a dataset holds, beside the log."""
  return {
      "schema_version": schema.SCHEMA_VERSION,
      "unit": cut.unit,
      "timezone": cut.zone,
      "split_time": _text_of(cut.split_time),
      "valid_time": _text_of(cut.valid_time),
      "user_fraction": cut.user_fraction,
      "valid_fraction": cut.valid_fraction,
      "leave_one_out": cut.leave_one_out,
      "seed": cut.seed,
      "drop_duplicates": cut.drop_duplicates,
      "columns": {
          name: options.columns.get(name, name)
          for name in (*schema.EVENT_COLUMNS, *options.kinds)
      },
      "extras": options.kinds,
      "category_cap": options.category_cap,
      "null_values": list(options.null_values),
      "decimal_comma": options.decimal_comma,
  }


def _text_of(moment: int | None) -> str | None:
  return None if moment is None else timestamps.format_moment(moment)


def _link_shards(plan: Plan, sorts: Sequence[Result]) -> dict[str, str]:
  """Gives the shards of all partitions their names in the dataset.

  Returns:
    {name in the dataset: sha256}.
  """
  folder = pathlib.Path(dataset.TFDS_FOLDER) / event_log.FOLDER
  shutil.rmtree(plan.building / dataset.TFDS_FOLDER, ignore_errors=True)
  (plan.building / folder).mkdir(parents=True)
  lengths: dict[str, list[int]] = {}
  hashes = {}
  for split in splits.SPLITS:
    shards = [
        shard for found in sorts for shard in found["shards"].get(split, [])
    ]
    for number, shard in enumerate(shards):
      name = folder / event_log.shard_name(split, number, len(shards))
      _link(plan.work / shard["name"], plan.building / name)
      hashes[name.as_posix()] = shard["sha256"]
    if shards:
      lengths[split] = [shard["examples"] for shard in shards]
  event_log.write_metadata(plan.building / folder, lengths, plan.kinds)
  return hashes


def _link(there: pathlib.Path, here: pathlib.Path) -> None:
  """A second name for a file: if we are killed now, the first is needed."""
  try:
    os.link(there, here)
  except OSError as error:
    # Not every file system has links; a full one must be said.
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
      raise
    shutil.copyfile(there, here)


def _fingerprint(hashes: int, unit: str, pairs: pl.DataFrame) -> str:
  """What a run must agree in with the dataset it was trained on."""
  digest = hashlib.sha256(checksum.to_hex(hashes).encode())
  digest.update(f"{schema.SCHEMA_VERSION} {unit}".encode())
  digest.update(pairs.write_json().encode())
  return digest.hexdigest()


def _write_json(path: pathlib.Path, content: Mapping[str, Any]) -> None:
  with path.open("w", encoding="utf-8") as file:
    json.dump(content, file, indent=2, ensure_ascii=False)
    file.write("\n")
    file.flush()
    os.fsync(file.fileno())

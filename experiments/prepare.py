r"""Turns a raw log into a dataset: checked, sorted, split, ready to train on.

  python experiments/prepare.py --logs LOG --out DIR --split_time 2019-12-15

LOG is a CSV, TSV, JSON Lines or Parquet file, a folder of them, or a pattern.
It needs a user, an event and a time column; a design column is optional:

  --columns user_id=uid,event_id=action,design_id=item,timestamp=ts

--extras price,category:cat keeps further columns: price holds numbers, category
holds names out of a set. --list_formats shows the formats that are known by
name. Models are chosen on validation splits: --valid_time, --valid_fraction or
--leave_one_out. This checks whether a dataset is still what was written:

  python experiments/prepare.py --verify DIR

Bad rows go to DIR/quarantine.jsonl; report.md in DIR says what is in it.
"""

import resource
import shlex
import sys

from absl import flags

from behavior_lm.artifacts import commands
from behavior_lm.common import errors
from behavior_lm.common.progress import CommandProgress
from behavior_lm.common.signals import exit_when_stopped
from behavior_lm.logs import dataset
from behavior_lm.logs import formats
from behavior_lm.logs import ingest
from behavior_lm.logs import leaks
from behavior_lm.logs.readers import columns
from behavior_lm.logs.reports import report_text
from behavior_lm.logs.stages.options import Options

_LOGS = flags.DEFINE_string(
    "logs", None, "Log file, folder, or pattern such as 'logs/*.csv.gz'."
)
_OUT = flags.DEFINE_string("out", None, "Dataset folder to write.")
_UNIT = flags.DEFINE_string(
    "unit", "user_day", "What one sequence is: user_day or user."
)
_SPLIT_TIME = flags.DEFINE_string(
    "split_time", None, "Events from here on are test: 2019-12-15, say."
)
_VALID_TIME = flags.DEFINE_string(
    "valid_time",
    None,
    "Events from here to --split_time are in the split valid.",
)
_USER_FRACTION = flags.DEFINE_float(
    "user_fraction", 0.0, "Share of users held out, 0 to 1."
)
_VALID_FRACTION = flags.DEFINE_float(
    "valid_fraction",
    0.0,
    "Share of the users not held out that is set aside, 0 to 1. Their events"
    " before --split_time are in valid_users, later ones in valid_users_test.",
)
_LEAVE_ONE_OUT = flags.DEFINE_bool(
    "leave_one_out",
    False,
    "The last event of each user is in test, the one before it in valid, and"
    " the others in train. Users with fewer than three events are in train.",
)
_COLUMNS = flags.DEFINE_string(
    "columns",
    "",
    "Names of the log's columns: user_id=uid,event_id=action,design_id=item,"
    "timestamp=ts. Columns that have our names may be left out.",
)
_EXTRAS = flags.DEFINE_string(
    "extras",
    None,
    "Further columns to keep, such as price,category:cat. They hold numbers"
    " (NAME or NAME:num) or categories (NAME:cat); known formats know their"
    " categories. Where the log has another name: --columns price=cost. Without"
    " this flag the usual ones of a known format are kept.",
)
_CATEGORY_CAP = flags.DEFINE_integer(
    "category_cap",
    100_000,
    "Values in the vocabulary of a categorical column; rarer ones are unknown.",
)
_HEADER = flags.DEFINE_list(
    "header", [], "Names of the columns of CSV files without a header line."
)
_NULL_VALUES = flags.DEFINE_list(
    "null_values",
    [],
    r"Texts that mean that there is no value: NULL,\N,NA. None are by default.",
)
_DECIMAL_COMMA = flags.DEFINE_bool(
    "decimal_comma", False, "Read 1.234,5 as the number 1234.5."
)
_DAY_TIMEZONE = flags.DEFINE_string(
    "day_timezone",
    None,
    "Zone of the days and of the split times, where it is not --timezone.",
)
_TIMEZONE = flags.DEFINE_string(
    "timezone",
    None,
    "Zone of times without an offset, and of the days. UTC if not given.",
)
_TIME_UNIT = flags.DEFINE_string(
    "time_unit", "auto", "Of times that are numbers: auto, s, ms, us or ns."
)
_FORMAT = flags.DEFINE_string(
    "format",
    "auto",
    "auto, csv, tsv, jsonl, parquet, or a name that --list_formats shows.",
)
_ENCODING = flags.DEFINE_string("encoding", "utf-8", "Of text files.")
_MAX_BAD_FRACTION = flags.DEFINE_float(
    "max_bad_fraction", 0.01, "A larger share of bad rows is an error."
)
_SEED = flags.DEFINE_integer(
    "seed", 0, "Decides which users are held out or set aside."
)
_OVERWRITE = flags.DEFINE_bool(
    "overwrite", False, "Replace a dataset that is already at --out."
)
_DROP_DUPLICATES = flags.DEFINE_bool(
    "drop_duplicates",
    False,
    "Keep one of several rows that agree in user, event, design and time.",
)
_VERIFY = flags.DEFINE_string(
    "verify",
    None,
    "Dataset folder to check instead: reads every byte of it and names the"
    " files that have changed since they were written.",
)
_LIST_FORMATS = flags.DEFINE_bool(
    "list_formats", False, "Only show what --format takes."
)
_RESTART = flags.DEFINE_bool(
    "restart",
    False,
    "Discard what an unfinished run for this --out left, do not continue it.",
)
_WORKERS = flags.DEFINE_integer(
    "workers", 1, "Processes that read files and sort partitions."
)
_BEAM_RUNNER = flags.DEFINE_string(
    "beam_runner",
    None,
    "Read and sort on Apache Beam: DirectRunner (this machine), or the name of"
    " another runner. All workers must see --logs and --out.",
)
_BEAM_OPTIONS = flags.DEFINE_string(
    "beam_options",
    "",
    "Options of the Beam pipeline in one string: '--direct_num_workers=2"
    " --direct_running_mode=multi_processing'.",
)


def _required(flag: flags.FlagHolder[str | None]) -> str:
  if not flag.value:
    raise errors.UserError(f"--{flag.name} is missing; see --help.")
  return flag.value


def main(argv: list[str]) -> None:
  del argv
  if _LIST_FORMATS.value:
    print(formats.describe())
  elif _VERIFY.value:
    _verify(_VERIFY.value)
  else:
    _prepare()


def _verify(folder: str) -> None:
  progress = CommandProgress()
  try:
    found = dataset.verify(folder, progress)
    checked = leaks.check_dataset_leaks(found, progress)
  finally:
    progress.close()
  size = sum(file["bytes"] for file in found.meta["files"].values())
  print(
      f"{folder}: {len(found.meta['files'])} files, {size:,} bytes, all as"
      f" they were written (examples {found.meta['examples_hash'][:12]}); no"
      f" user and no later event crosses its splits ({checked.num_events:,}"
      f" events of {checked.num_users:,} users read)"
  )


def _prepare() -> None:
  extras = None
  if _EXTRAS.value is not None:
    extras = columns.parse_extras(_EXTRAS.value)
  kinds = formats.extra_kinds(_FORMAT.value, extras)
  options = Options(
      logs=_required(_LOGS),
      out=_required(_OUT),
      unit=_UNIT.value,
      split_time=_SPLIT_TIME.value,
      valid_time=_VALID_TIME.value,
      user_fraction=_USER_FRACTION.value,
      valid_fraction=_VALID_FRACTION.value,
      leave_one_out=_LEAVE_ONE_OUT.value,
      columns=columns.parse_columns(_COLUMNS.value, kinds),
      extras=extras,
      category_cap=_CATEGORY_CAP.value,
      header=tuple(_HEADER.value),
      null_values=tuple(_NULL_VALUES.value),
      decimal_comma=_DECIMAL_COMMA.value,
      day_timezone=_DAY_TIMEZONE.value,
      timezone=_TIMEZONE.value,
      time_unit=_TIME_UNIT.value,
      log_format=_FORMAT.value,
      encoding=_ENCODING.value,
      max_bad_fraction=_MAX_BAD_FRACTION.value,
      seed=_SEED.value,
      overwrite=_OVERWRITE.value,
      drop_duplicates=_DROP_DUPLICATES.value,
      restart=_RESTART.value,
      workers=_WORKERS.value,
      command=commands.this_command(),
  )
  progress = CommandProgress()
  with exit_when_stopped(
      f"nothing was written at {options.out}. Run the same command again to"
      " continue."
  ):
    try:
      report = ingest.prepare(options, progress, _stages())
    finally:
      progress.close()
  print(report_text.to_screen(report))
  seconds = progress.seconds
  print(
      f"{report['rows']:,} rows in {seconds:.1f} s,"
      f" {report['rows'] / seconds:,.0f} rows/s, peak memory"
      f" {_peak_memory_mb():,.0f} MB"
  )
  print(f"dataset: {options.out} (report: {options.out}/report.md)")


def _stages() -> ingest.RunStages | None:
  if _BEAM_RUNNER.value:
    return ingest.on_beam(
        _BEAM_RUNNER.value, shlex.split(_BEAM_OPTIONS.value)
    )
  if _BEAM_OPTIONS.value:
    raise errors.UserError("--beam_options needs --beam_runner.")
  return None


def _peak_memory_mb() -> float:
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  # Linux counts kilobytes, macOS bytes.
  return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


if __name__ == "__main__":
  errors.run_command(main)

"""What to read and how: the options of experiments/prepare.py."""

from collections.abc import Callable
import dataclasses
from typing import Any

from behavior_lm.common.errors import UserError
from behavior_lm.logs import formats
from behavior_lm.logs import sequences
from behavior_lm.logs.readers import clean
from behavior_lm.logs.readers import columns as columns_lib
from behavior_lm.logs.readers import timestamps


@dataclasses.dataclass(frozen=True)
class Options:
  """What to read and how; experiments/prepare.py has a flag for each.

  Attributes:
    logs: a file, a folder or a glob.
    out: the dataset folder to write.
    unit: one example is a `user_day` or a `user`.
    split_time: from here on events are test events; None for no such split.
    valid_time: events from here to `split_time` are in valid; None for no such
      split.
    user_fraction: share of users held out.
    valid_fraction: share of the other users whose events are set aside for
      validation.
    leave_one_out: the last event of each user is in test, the one before it in
      valid; users with fewer than three events are in train.
    columns: {ours: theirs} for columns of other names.
    extras: further columns to keep, as `columns.parse_extras` returns them;
      None keeps those that the format is known for.
    category_cap: values in the vocabulary of a categorical column; rarer ones
      are unknown.
    header: names of the columns of CSV and TSV files without a header line.
    null_values: texts that mean that there is no value, in every column.
    decimal_comma: whether 1.234,5 is the number 1234.5.
    day_timezone: zone of the days and of the split times; None is `timezone`.
    timezone: zone of times without an offset, and of the days; None is UTC,
      and refuses logs that mix times with and without an offset.
    time_unit: of epoch numbers: auto, s, ms, us or ns.
    log_format: auto, csv, tsv, jsonl, parquet or a name in formats.FORMATS.
    encoding: of text files.
    max_bad_fraction: larger shares of bad rows are an error.
    seed: of the choice of held-out users.
    overwrite: replace a dataset that is there.
    drop_duplicates: keep only the first of equal rows.
    restart: discard what an unfinished run for `out` left.
    workers: processes that read and sort.
    command: the command line to record in the dataset; empty where a program
      calls.
  """

  logs: str
  out: str
  unit: str = sequences.USER_DAY
  split_time: str | None = None
  valid_time: str | None = None
  user_fraction: float = 0.0
  valid_fraction: float = 0.0
  leave_one_out: bool = False
  columns: dict[str, str] = dataclasses.field(default_factory=dict)
  extras: tuple[str, ...] | None = None
  category_cap: int = 100_000
  header: tuple[str, ...] = ()
  null_values: tuple[str, ...] = ()
  decimal_comma: bool = False
  day_timezone: str | None = None
  timezone: str | None = None
  time_unit: str = "auto"
  log_format: str = "auto"
  encoding: str = "utf-8"
  max_bad_fraction: float = 0.01
  seed: int = 0
  overwrite: bool = False
  drop_duplicates: bool = False
  restart: bool = False
  workers: int = 1
  command: str = ""

  def complete(self) -> "Options":
    """Checked, and with what the format says where nothing was said."""
    _check(self)
    formats.check(self.log_format)
    _check_ordinal(self)
    kinds = formats.extra_kinds(self.log_format, self.extras)
    extras, zone = columns_lib.declare_extras(kinds), self.timezone
    if zone is None:
      zone = formats.default_timezone(self.log_format)
    return dataclasses.replace(self, extras=extras, timezone=zone)

  @property
  def kinds(self) -> dict[str, str]:
    """{name: kind} of the extra columns of complete options."""
    return columns_lib.extra_kinds(self.extras or ())

  def time_reader(self, now: float | None = None) -> timestamps.TimeReader:
    """Reads the times of the log; `now` is the present, in epoch seconds."""
    moment = None if now is None else timestamps.from_seconds(now)
    return timestamps.TimeReader(self.timezone, self.time_unit, moment)

  def rules(self) -> clean.Rules:
    """How values are written."""
    return clean.Rules(self.null_values, self.decimal_comma)

  def cut(self) -> sequences.Cut:
    """How events become sequences."""
    zone = self.day_timezone or self.time_reader().zone
    timestamps.check_timezone(zone)
    moments = {
        flag: timestamps.parse_moment(text, zone, f"--{flag}")
        for flag in ("valid_time", "split_time")
        if (text := getattr(self, flag)) is not None
    }
    if len(moments) == 2 and moments["valid_time"] >= moments["split_time"]:
      raise UserError(
          f"--valid_time {self.valid_time}: must be before --split_time"
          f" {self.split_time}; the events between the two are for validation."
      )
    return sequences.Cut(
        unit=self.unit,
        zone=zone,
        valid_time=moments.get("valid_time"),
        split_time=moments.get("split_time"),
        valid_fraction=self.valid_fraction,
        user_fraction=self.user_fraction,
        seed=self.seed,
        leave_one_out=self.leave_one_out,
        drop_duplicates=self.drop_duplicates,
    )

  def settings(self) -> dict[str, str]:
    """{flag: value} of everything that decides what a dataset holds."""
    return {flag: as_text(self) for flag, as_text in _SETTINGS.items()}


def _text(name: str) -> Callable[[Options], str]:
  return lambda options: str(getattr(options, name))


# Not among them: --max_bad_fraction, which only says when to give up.
_SETTINGS: dict[str, Callable[[Options], Any]] = {
    "unit": _text("unit"),
    "split_time": _text("split_time"),
    "valid_time": _text("valid_time"),
    "user_fraction": _text("user_fraction"),
    "valid_fraction": _text("valid_fraction"),
    "leave_one_out": _text("leave_one_out"),
    "columns": lambda options: ",".join(
        f"{ours}={theirs}" for ours, theirs in sorted(options.columns.items())
    ),
    "extras": lambda options: ",".join(options.extras or ()),
    "category_cap": _text("category_cap"),
    "header": lambda options: ",".join(options.header),
    "null_values": lambda options: ",".join(options.null_values),
    "decimal_comma": _text("decimal_comma"),
    "day_timezone": _text("day_timezone"),
    "timezone": _text("timezone"),
    "time_unit": _text("time_unit"),
    "format": _text("log_format"),
    "encoding": _text("encoding"),
    "seed": _text("seed"),
    "drop_duplicates": _text("drop_duplicates"),
}


def _check_ordinal(options: Options) -> None:
  """Days and a split time mean nothing where a log has no times."""
  if not formats.is_ordinal(options.log_format):
    return
  if options.unit != sequences.USER:
    raise UserError(
        f"--format {options.log_format}: such logs know the order of events"
        " and no times, so there are no days. Pass --unit user."
    )
  for flag in ("split_time", "valid_time"):
    if getattr(options, flag) is not None:
      raise UserError(
          f"--{flag} {getattr(options, flag)}: logs of --format"
          f" {options.log_format} have no times. Split by --user_fraction,"
          " --valid_fraction or --leave_one_out."
      )


def _check_alone(options: Options) -> None:
  """--leave_one_out says of each event which split it is in."""
  nothing = Options(logs="", out="")
  for flag in ("split_time", "valid_time", "user_fraction", "valid_fraction"):
    if getattr(options, flag) != getattr(nothing, flag):
      raise UserError(
          f"--leave_one_out and --{flag} exclude each other: leave one of them"
          " out."
      )


def _check(options: Options) -> None:
  if options.unit not in sequences.UNITS:
    raise UserError(
        f"--unit {options.unit!r} is unknown; use"
        f" {' or '.join(sequences.UNITS)}."
    )
  for flag in ("user_fraction", "valid_fraction"):
    if not 0 <= getattr(options, flag) < 1:
      raise UserError(
          f"--{flag} {getattr(options, flag)} must be at least 0 and below 1."
      )
  if options.leave_one_out:
    _check_alone(options)
  if options.category_cap < 1:
    raise UserError(f"--category_cap {options.category_cap} must be positive.")
  if not 0 <= options.max_bad_fraction <= 1:
    raise UserError(
        f"--max_bad_fraction {options.max_bad_fraction} must be between 0"
        " and 1."
    )
  if options.workers < 1:
    raise UserError(f"--workers {options.workers} must be at least 1.")

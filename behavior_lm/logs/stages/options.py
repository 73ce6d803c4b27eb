"""What to read and how: the options of experiments/prepare.py."""

from collections.abc import Callable
import dataclasses
from typing import Any

from behavior_lm.common.errors import UserError
from behavior_lm.logs import formats
from behavior_lm.logs import sequences
from behavior_lm.logs.readers import timestamps


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
    extras: further numeric columns to keep, by our names; None keeps those
      that the format is known for.
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
  """

  logs: str
  out: str
  unit: str = sequences.USER_DAY
  split_time: str | None = None
  user_fraction: float = 0.0
  columns: dict[str, str] = dataclasses.field(default_factory=dict)
  extras: tuple[str, ...] | None = None
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

  def complete(self) -> "Options":
    """Checked, and with what the format says where nothing was said."""
    _check(self)
    formats.check(self.log_format)
    _check_ordinal(self)
    extras, zone = self.extras, self.timezone
    if extras is None:
      extras = formats.default_extras(self.log_format)
    if zone is None:
      zone = formats.default_timezone(self.log_format)
    return dataclasses.replace(self, extras=tuple(extras), timezone=zone)

  def time_reader(self, now: float | None = None) -> timestamps.TimeReader:
    """Reads the times of the log; `now` is the present, in epoch seconds."""
    moment = None if now is None else timestamps.from_seconds(now)
    return timestamps.TimeReader(self.timezone, self.time_unit, moment)

  def cut(self) -> sequences.Cut:
    """How events become sequences."""
    zone = self.time_reader().zone
    moment = None
    if self.split_time is not None:
      moment = timestamps.parse_moment(self.split_time, zone, "--split_time")
    return sequences.Cut(
        unit=self.unit,
        zone=zone,
        split_time=moment,
        user_fraction=self.user_fraction,
        seed=self.seed,
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
    "user_fraction": _text("user_fraction"),
    "columns": lambda options: ",".join(
        f"{ours}={theirs}" for ours, theirs in sorted(options.columns.items())
    ),
    "extras": lambda options: ",".join(options.extras or ()),
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
  if options.split_time is not None:
    raise UserError(
        f"--split_time {options.split_time}: logs of --format"
        f" {options.log_format} have no times. Split by --user_fraction."
    )


def _check(options: Options) -> None:
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
  if options.workers < 1:
    raise UserError(f"--workers {options.workers} must be at least 1.")

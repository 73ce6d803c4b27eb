"""data_report.json, the report of experiments/prepare.py, as a record."""

from collections.abc import Mapping
import dataclasses
from typing import Any

from behavior_lm.reporting.session_record import parse_sessions
from behavior_lm.reporting.session_record import Sessions


@dataclasses.dataclass(frozen=True)
class Bin:
  """A bar of a histogram: low <= value < high; no `high` is no end."""

  low: float
  high: float | None
  count: int


@dataclasses.dataclass(frozen=True)
class Distribution:
  """Of lengths in events, or of gaps in seconds. Empty if `count` is 0."""

  count: int
  mean: float
  quantiles: Mapping[str, float]
  bins: tuple[Bin, ...]
  largest: int | None
  zero_share: float | None


@dataclasses.dataclass(frozen=True)
class Split:
  """One split; `coverage` is (most frequent train pairs, share of events)."""

  num_sequences: int
  num_events: int
  num_users: int
  num_pairs: int
  start: str | None
  end: str | None
  lengths: Distribution
  coverage: tuple[tuple[int, float], ...]
  pairs_not_in_train: int
  events_not_in_train_share: float


@dataclasses.dataclass(frozen=True)
class TopEvent:
  """A frequent event of train."""

  event_id: str
  count: int
  share: float
  designs: int


@dataclasses.dataclass(frozen=True)
class Source:
  """A log file that was read."""

  name: str
  rows: int
  size: int
  times: str


@dataclasses.dataclass(frozen=True)
class DataReport:
  """data_report.json; `growth` is (events of train, distinct pairs).

  Datasets that were prepared before sessions were counted have no `sessions`.
  """

  rows: int
  num_events: int
  num_users: int
  num_pairs: int
  start: str | None
  end: str | None
  unit: str
  zone: str
  splits: Mapping[str, Split]
  growth: tuple[tuple[int, int], ...]
  gaps: Distribution
  top_events: tuple[TopEvent, ...]
  duplicates: int
  duplicates_dropped: int
  rejected: int
  rejected_by_reason: Mapping[str, int]
  sources: tuple[Source, ...]
  sessions: Sessions | None = None


def parse_data_report(content: Mapping[str, Any]) -> DataReport:
  """Raises KeyError, TypeError or ValueError if the content is damaged."""
  rejected, duplicates = content["rejected"], content["duplicates"]
  return DataReport(
      rows=int(content["rows"]),
      num_events=int(content["num_events"]),
      num_users=int(content["num_users"]),
      num_pairs=int(content["num_pairs"]),
      start=_moment(content["start"]),
      end=_moment(content["end"]),
      unit=str(content["unit"]),
      zone=str(content["times"]["zone"]),
      splits={
          str(name): _split(part) for name, part in content["splits"].items()
      },
      growth=tuple(
          (int(row["events"]), int(row["pairs"])) for row in content["growth"]
      ),
      gaps=_distribution(content["gaps"]),
      top_events=tuple(
          TopEvent(
              event_id=str(row["event_id"]),
              count=int(row["count"]),
              share=float(row["share"]),
              designs=int(row["designs"]),
          )
          for row in content["top_events"]
      ),
      duplicates=int(duplicates["rows"]),
      duplicates_dropped=int(duplicates["dropped"]),
      rejected=int(rejected["rows"]),
      rejected_by_reason={
          str(reason): int(count)
          for reason, count in rejected["by_reason"].items()
      },
      sources=tuple(
          Source(
              name=str(row["name"]),
              rows=int(row["rows"]),
              size=int(row["bytes"]),
              times=str(row["times"]),
          )
          for row in content["sources"]
      ),
      sessions=(
          parse_sessions(content["sessions"])
          if "sessions" in content
          else None
      ),
  )


def _split(part: Mapping[str, Any]) -> Split:
  return Split(
      num_sequences=int(part["num_sequences"]),
      num_events=int(part["num_events"]),
      num_users=int(part["num_users"]),
      num_pairs=int(part["num_pairs"]),
      start=_moment(part["start"]),
      end=_moment(part["end"]),
      lengths=_distribution(part["lengths"]),
      coverage=tuple(
          (int(row["pairs"]), float(row["share"])) for row in part["coverage"]
      ),
      pairs_not_in_train=int(part["pairs_not_in_train"]),
      events_not_in_train_share=float(part["events_not_in_train_share"]),
  )


def _distribution(content: Mapping[str, Any]) -> Distribution:
  count = int(content["count"])
  if not count:
    return Distribution(0, 0.0, {}, (), None, None)
  return Distribution(
      count=count,
      mean=float(content["mean"]),
      quantiles={
          str(name): float(value)
          for name, value in content["quantiles"].items()
      },
      bins=tuple(_bin(row) for row in content["histogram"]),
      largest=int(content["max"]) if "max" in content else None,
      zero_share=(
          float(content["zero_share"]) if "zero_share" in content else None
      ),
  )


def _bin(row: Mapping[str, Any]) -> Bin:
  high = row["to"]
  return Bin(
      low=float(row["from"]),
      high=None if high is None else float(high),
      count=int(row["count"]),
  )


def _moment(value: Any) -> str | None:
  """An ISO time, shortened for reading: 2019-12-15 00:00:00."""
  if value is None:
    return None
  return str(value).removesuffix("Z").replace("T", " ")

"""The sessions of data_report.json as a record."""

from collections.abc import Mapping
import dataclasses
from typing import Any

from behavior_lm.logs.gap_mixture import Mixture


@dataclasses.dataclass(frozen=True)
class Threshold:
  """Sessions at one threshold; quantiles are of events a session."""

  seconds: float
  sessions: int
  mean: float
  quantiles: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class GapBar:
  """Gaps from `low` to `high` seconds."""

  low: float
  high: float
  count: int


@dataclasses.dataclass(frozen=True)
class Sessions:
  """Sessions inside the sequences of train.

  Attributes:
    sequences, events: of train.
    learned: fit of the gaps, or None.
    not_learned: why there is none.
    at_learned: sessions at its threshold; the quantiles are those at
      `quantiles_at` seconds.
    by_threshold: at fixed ones, ascending.
    bars: gaps above 0.
  """

  sequences: int
  events: int
  learned: Mixture | None
  not_learned: str | None
  at_learned: Threshold | None
  quantiles_at: float | None
  by_threshold: tuple[Threshold, ...]
  bars: tuple[GapBar, ...]


def parse_sessions(content: Mapping[str, Any]) -> Sessions:
  """Raises KeyError, TypeError or ValueError if the content is damaged."""
  learned, reason = content["learned"], content["not_learned"]
  at_learned = content["at_learned"]
  return Sessions(
      sequences=int(content["sequences"]),
      events=int(content["events"]),
      learned=None if learned is None else Mixture.from_json(learned),
      not_learned=None if reason is None else str(reason),
      at_learned=None if at_learned is None else _threshold(at_learned),
      quantiles_at=(
          None if at_learned is None else float(at_learned["quantiles_at"])
      ),
      by_threshold=tuple(_threshold(row) for row in content["by_threshold"]),
      bars=tuple(
          GapBar(float(row["from"]), float(row["to"]), int(row["count"]))
          for row in content["histogram"]
      ),
  )


def _threshold(row: Mapping[str, Any]) -> Threshold:
  return Threshold(
      seconds=float(row["seconds"]),
      sessions=int(row["sessions"]),
      mean=float(row["mean"]),
      quantiles={
          str(name): float(value) for name, value in row["quantiles"].items()
      },
  )

"""Rows of an evaluation: models beside baselines, on the same targets."""

from collections.abc import Mapping, Sequence
import dataclasses
import math
from typing import Any, Protocol

import numpy as np
from rich.console import Console
from rich.table import Table

from behavior_lm.artifacts import evaluation
from behavior_lm.evaluation.statistics import bootstrap_difference
from behavior_lm.evaluation.statistics import bootstrap_ratio

# Columns of `artifacts.scores.SequenceScores`.
TOKEN_COLUMNS = (
    dict(
        name="perplexity",
        title="perplexity per token",
        format=".2f",
        better="low",
    ),
    dict(name="accuracy", title="accuracy", format=".1%", better="high"),
    dict(
        name="bits_per_event",
        title="bits per event",
        format=".3f",
        better="low",
    ),
    dict(
        name="token_bits_per_event",
        title="token bits per event",
        format=".3f",
        better="low",
    ),
    dict(
        name="charge_per_event",
        title="charge per event",
        format=".3f",
        better="low",
    ),
)
TOKEN_MAIN = "bits_per_event"
TOKEN_NOTE = (
    "Bits per event are token bits plus a charge of 8 bits per byte for what a"
    " capped vocabulary leaves out, so that tokenizers compare."
)
NOTE = (
    "Intervals are 95 %, by a bootstrap over users. A difference is the row"
    " minus the best baseline, paired by user."
)

# Characters of a terminal's line in which the table does not wrap, and those of
# a column where there are many.
_WIDTH, _COLUMN = 130, 16


class Scores(Protocol):
  """What a table needs of a model's scores, such as `SequenceScores`.

  `ratios` gives, for each measure that may be the main column, sums and
  weights [n] whose totals' ratio is the measure; `users` [n] tells whose they
  are. `summary` gives the value of every column.
  """

  @property
  def users(self) -> np.ndarray: ...

  @property
  def ratios(self) -> Mapping[str, tuple[np.ndarray, np.ndarray]]: ...

  def summary(self) -> Mapping[str, float]: ...


@dataclasses.dataclass(frozen=True)
class RatioScores:
  """Measures that are ratios of sums; all arrays are [n], one per sequence.

  Attributes:
    users: user ids.
    num_events: what was predicted: raw events, or windows.
    ratios: see `Scores`; the first one's weights are the targets.
  """

  users: np.ndarray
  num_events: np.ndarray
  ratios: Mapping[str, tuple[np.ndarray, np.ndarray]]

  @property
  def count(self) -> np.ndarray:
    """Targets of each sequence."""
    return next(iter(self.ratios.values()))[1]

  def summary(self) -> dict[str, float]:
    """Each ratio over all sequences; 0 where there are no targets."""
    return {
        name: float(sums.sum() / max(weights.sum(), 1e-30))
        for name, (sums, weights) in self.ratios.items()
    }


def make_rows(
    models: Mapping[str, Scores],
    baselines: Mapping[str, Scores],
    references: Mapping[str, Scores] | None = None,
    *,
    columns: Sequence[Mapping[str, Any]] = TOKEN_COLUMNS,
    main: str = TOKEN_MAIN,
    intervals: Sequence[str] = (),
    seeds: Mapping[str, int] | None = None,
    config_hashes: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
  """Rows of `artifacts.evaluation`: models, then baselines, then references.

  Args:
    models: name -> scores.
    baselines: name -> scores on the same targets, fair rivals of the models.
    references: name -> scores on the same targets that are no fair rivals.
    columns: of the record, each with a value in `summary()` of all scores.
    main: the column that decides; its interval and difference are computed.
    intervals: further columns with an interval.
    seeds: model name -> seed.
    config_hashes: model name -> hash.

  Returns:
    The rows. Without two users who have targets there are neither intervals
    nor differences; without a baseline there are no differences.

  Raises:
    ValueError: if a difference would be over other targets.
  """
  references, seeds = references or {}, seeds or {}
  config_hashes = config_hashes or {}
  (better,) = (c["better"] for c in columns if c["name"] == main)
  best = _best(baselines, main, better)
  groups = (models, baselines, references)
  rows = []
  for kind, group in zip(evaluation.KINDS, groups, strict=True):
    for name, scores in group.items():
      summary = scores.summary()
      row: dict[str, Any] = {
          "model": name,
          "kind": kind,
          "seed": seeds.get(name) if kind == "model" else None,
          "config_hash": config_hashes.get(name) if kind == "model" else None,
          "values": {c["name"]: float(summary[c["name"]]) for c in columns},
      }
      if _varies(scores, main):
        row["ci"] = {
            one: bootstrap_ratio(*scores.ratios[one], scores.users).interval
            for one in (main, *intervals)
        }
      gap = None
      if kind == "model" and best is not None:
        gap = difference(scores, baselines[best], main)
      row["difference"] = gap and {"baseline": best, **gap}
      rows.append(row)
  return rows


def difference(
    first: Scores, second: Scores, name: str
) -> dict[str, Any] | None:
  """`first` minus `second` in a measure: {"value", "ci", "p"}.

  None if fewer than two users have targets, or a score is not finite.

  Raises:
    ValueError: if the two are not over the same targets.
  """
  sums, weights = first.ratios[name]
  other, other_weights = second.ratios[name]
  if not np.array_equal(weights, other_weights):
    raise ValueError("scores over different targets have no difference")
  if not (_varies(first, name) and _varies(second, name)):
    return None
  gap = bootstrap_difference(sums, other, weights, first.users)
  return {"value": gap.value, "ci": gap.interval, "p": gap.p}


def _varies(scores: Scores, name: str) -> bool:
  """Whether a bootstrap over users is possible."""
  sums, weights = scores.ratios[name]
  users = set(scores.users[weights > 0])
  return len(users) > 1 and bool(np.isfinite(sums).all())


def _best(
    baselines: Mapping[str, Scores], main: str, better: str
) -> str | None:
  values = {name: one.summary()[main] for name, one in baselines.items()}
  finite = {name: v for name, v in values.items() if math.isfinite(v)}
  if not finite:
    return None
  return (min if better == "low" else max)(finite, key=lambda n: finite[n])


def show(result: Mapping[str, Any]) -> None:
  """Prints the table of a record of `artifacts.evaluation`."""
  table = Table(
      title=f"{result['title']}: {result['data']}, {result['split']}"
  )
  for place, name in enumerate(evaluation.header(result)):
    table.add_column(name, justify="right" if place else "left")
  for row in result["rows"]:
    table.add_row(*evaluation.cells(result, row))
  # A log or a narrow terminal scrolls; wrapped figures cannot be compared.
  width = max(Console().width, _WIDTH, _COLUMN * len(table.columns))
  Console(width=width).print(table)

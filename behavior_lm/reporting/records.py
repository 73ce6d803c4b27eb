"""evaluation.json and probe.json as typed records.

Whatever is missing or of another type in them shows here, not while the page
is being made.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any

# Rows of the evaluation that were counted, not trained.
_BASELINES = ("unigram", "neighbours")
# It sees true neighbours where a model sees masks.
_UNFAIR = "neighbours (full context)"


@dataclasses.dataclass(frozen=True)
class Difference:
  """Bits a raw event to the best baseline; below zero is better."""

  bits: float
  low: float
  high: float
  p: float | None
  baseline: str | None


@dataclasses.dataclass(frozen=True)
class EvaluationRow:
  """One line of the table; `interval` is of `bits`, bits a raw event."""

  model: str
  seed: int | None
  perplexity: float
  accuracy: float
  bits: float
  interval: tuple[float, float] | None
  difference: Difference | None

  @property
  def is_baseline(self) -> bool:
    return self.model.startswith(_BASELINES)

  @property
  def is_fair(self) -> bool:
    return self.model != _UNFAIR


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """evaluation.json."""

  data: str
  split: str
  mask_rate: float
  num_masked: int
  num_users: int | None
  rows: tuple[EvaluationRow, ...]
  command: str | None
  config_hash: str | None


@dataclasses.dataclass(frozen=True)
class ProbeRow:
  """One label predicted from one set of features."""

  label: str
  features: str
  auc: float
  interval: tuple[float, float] | None
  f1: float | None
  folds: int | None
  num_seeds: int | None
  p: float | None


@dataclasses.dataclass(frozen=True)
class Probe:
  """probe.json; `ceilings` is the AUC of the hidden truth, by label."""

  rows: tuple[ProbeRow, ...]
  num_users: int | None
  ceilings: Mapping[str, float]
  command: str | None


def parse_evaluation(content: Mapping[str, Any]) -> Evaluation:
  """Raises KeyError, TypeError or ValueError if the content is damaged."""
  rows = tuple(_evaluation_row(row) for row in content["rows"])
  if not rows:
    raise ValueError("'rows' is empty")
  return Evaluation(
      data=_text(content["data"], "data"),
      split=_text(content["split"], "split"),
      mask_rate=float(content["mask_rate"]),
      num_masked=int(content["num_masked"]),
      num_users=_optional(content.get("num_users"), _integer, "num_users"),
      rows=rows,
      command=_optional(content.get("command"), _text, "command"),
      config_hash=_optional(content.get("config_hash"), _text, "config_hash"),
  )


def parse_probe(content: Mapping[str, Any]) -> Probe:
  """Raises KeyError, TypeError or ValueError if the content is damaged."""
  rows = tuple(_probe_row(row) for row in content["rows"])
  if not rows:
    raise ValueError("'rows' is empty")
  return Probe(
      rows=rows,
      num_users=_optional(content.get("num_users"), _integer, "num_users"),
      ceilings=_ceilings(content.get("oracle") or {}),
      command=_optional(content.get("command"), _text, "command"),
  )


def _evaluation_row(row: Mapping[str, Any]) -> EvaluationRow:
  difference = row.get("difference_to_best_baseline")
  return EvaluationRow(
      model=_text(row["model"], "model"),
      seed=_optional(row.get("seed"), _integer, "seed"),
      perplexity=float(row["perplexity"]),
      accuracy=float(row["accuracy"]),
      bits=float(row["bits_per_event"]),
      interval=_interval(row.get("bits_per_event_ci")),
      difference=None if difference is None else _difference(difference),
  )


def _difference(content: Mapping[str, Any]) -> Difference:
  interval = _interval(content["ci"])
  if interval is None:
    raise ValueError("a difference without 'ci'")
  return Difference(
      bits=float(content["bits"]),
      low=interval[0],
      high=interval[1],
      p=_optional(content.get("p"), _real, "p"),
      baseline=_optional(content.get("baseline"), _text, "baseline"),
  )


def _probe_row(row: Mapping[str, Any]) -> ProbeRow:
  seeds = row.get("seeds")
  return ProbeRow(
      label=_text(row["label"], "label"),
      features=_text(row["features"], "features"),
      auc=float(row["auc"]),
      interval=_interval(row.get("auc_ci")),
      f1=_optional(row.get("f1"), _real, "f1"),
      folds=_optional(row.get("folds"), _integer, "folds"),
      num_seeds=None if seeds is None else len(seeds),
      p=_optional(row.get("p_vs_event_counts"), _real, "p_vs_event_counts"),
  )


def _ceilings(oracle: Mapping[str, Any]) -> dict[str, float]:
  """{label: auc}, or {label: {"auc": auc, ...}}; null where not defined."""
  out = {}
  for label, value in oracle.items():
    if isinstance(value, Mapping):
      value = value.get("auc")
    if value is not None:
      out[str(label)] = float(value)
  return out


def _interval(value: Any) -> tuple[float, float] | None:
  if value is None:
    return None
  low, high = value
  return float(low), float(high)


def _text(value: Any, name: str) -> str:
  if not isinstance(value, str):
    raise TypeError(f"{name!r} is {value!r}, not a text")
  return value


def _integer(value: Any, name: str) -> int:
  del name
  return int(value)


def _real(value: Any, name: str) -> float:
  del name
  return float(value)


def _optional(value: Any, convert: Any, name: str) -> Any:
  return None if value is None else convert(value, name)

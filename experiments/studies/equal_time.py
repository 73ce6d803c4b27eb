"""Runs that train for the same time, whatever a step of theirs costs.

The learning rate follows steps, so a run must know beforehand how many fit:
their seconds are measured once, by the training loop itself on the run's own
data, and kept beside the run. From then on the run is a plain one of so many
steps: deterministic, and resumed exactly after a kill. What is equal is the
time of the training steps, reading the batch included; compilation,
checkpoints and evaluation come on top.
"""

from collections.abc import Mapping, Sequence
import json
import operator
from pathlib import Path
import shutil
import statistics
from typing import Any

import ml_collections

from behavior_lm.artifacts.metrics import read_metrics
from behavior_lm.common.errors import UserError
from behavior_lm.common.files import write_whole
from behavior_lm.recipes.train import train

PLAN = "plan.json"
RUN = "run"
_PROBE = "probe"
# The first steps compile and fill caches.
_WARM_UP = 3
_FEWEST_STEPS = 5


def plan_steps(
    config: ml_collections.ConfigDict,
    folder: Path,
    *,
    minutes: float,
    probe_steps: int,
    like: Path | None = None,
    steps: int = 0,
) -> dict[str, Any] | None:
  """How many steps fit in the time: measured once, then read.

  Args:
    config: of the run; its `total_steps` is not read.
    folder: holds plan.json, and later the run folder.
    minutes: of training steps.
    probe_steps: how many are tried; the first three are not counted.
    like: folder of the same run with another seed. If that is planned, so is
      this: measured anew, the two would differ by more than the seed.
    steps: so many, whatever time they take: nothing is measured or kept.

  Returns:
    The plan: `minutes`, `seconds_a_step` (median), `probed_steps`,
    `total_steps`. None if a signal stopped the probe.

  Raises:
    UserError: if the folder was planned for another time, the probe is too
      short or the time is.
  """
  if steps:
    return {"total_steps": steps}
  path = folder / PLAN
  if path.exists():
    return _read_plan(folder, minutes)
  if like is not None and (like / PLAN).exists():
    plan = _read_plan(like, minutes)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(plan, indent=1) + "\n")
    return plan
  if probe_steps < _WARM_UP + _FEWEST_STEPS:
    raise UserError(
        f"{probe_steps} steps are too few to measure one; try at least"
        f" {_WARM_UP + _FEWEST_STEPS}."
    )
  trial = ml_collections.ConfigDict(config.to_dict())
  trial.total_steps = trial.checkpoint_every = probe_steps
  trial.log_every = 1
  probe = folder / _PROBE
  shutil.rmtree(probe, ignore_errors=True)
  outcome = train(trial, probe)
  if outcome == "stopped":
    return None
  rates = [line["tokens_per_second"] for line in read_lines(probe)[_WARM_UP:]]
  shutil.rmtree(probe)
  plan = make_plan(rates, tokens_a_step(config), minutes)
  write_whole(path, json.dumps(plan, indent=1) + "\n")
  return plan


def _read_plan(folder: Path, minutes: float) -> dict[str, Any]:
  plan: dict[str, Any] = json.loads((folder / PLAN).read_text())
  if plan["minutes"] != minutes:
    raise UserError(
        f"{folder} was planned for {plan['minutes']:g} minutes, not"
        f" {minutes:g}. Use another --workdir, or those minutes."
    )
  return plan


def make_plan(
    rates: Sequence[float], tokens: int, minutes: float
) -> dict[str, Any]:
  """The plan, from tokens a second of each probed step of so many tokens.

  Raises:
    UserError: if fewer than two steps fit.
  """
  seconds = tokens / statistics.median(rates)
  total_steps = int(60 * minutes / seconds)
  if total_steps < 2:
    raise UserError(
        f"a step takes {seconds:.2f} s: {minutes:g} minutes are less than two"
        " steps. Raise --minutes."
    )
  return {
      "minutes": minutes,
      "seconds_a_step": seconds,
      "probed_steps": len(rates),
      "total_steps": total_steps,
  }


def fit(
    config: ml_collections.ConfigDict, plan: Mapping[str, Any]
) -> ml_collections.ConfigDict:
  """The config with the plan's steps, saved about once a minute.

  A plan of steps alone leaves it to the config when to save.
  """
  out = ml_collections.ConfigDict(config.to_dict())
  out.total_steps = plan["total_steps"]
  a_minute = out.checkpoint_every
  if "seconds_a_step" in plan:
    a_minute = max(1, round(60 / plan["seconds_a_step"]))
  out.checkpoint_every = a_minute
  # Without its first line, which holds the compilation, a run has no speed.
  out.log_every = max(1, min(a_minute // 6, out.total_steps // 20))
  return out


def curve(run: str | Path) -> list[dict[str, float]]:
  """Where a run stood at each log line: `step`, `minutes`, `loss`.

  Each is of about as many steps: what is left of them at the end joins the
  line before, since the loss of a single step would look like a turn.
  """
  lines = read_lines(run)
  out: list[dict[str, float]] = []
  elapsed, spans = 0.0, _spans(lines)
  for line, took, span in zip(lines, _seconds(lines), spans, strict=True):
    elapsed += took
    loss = line["loss"]
    if out and line is lines[-1] and 2 * span < spans[-2]:
      before = out.pop()["loss"]
      loss = (before * spans[-2] + loss * span) / (spans[-2] + span)
    out.append({"step": line["step"], "minutes": elapsed / 60, "loss": loss})
  return out


def facts(run: str | Path) -> dict[str, float]:
  """What a finished run did with its time.

  Returns:
    `steps`; `minutes` without the first compilation; `wall_minutes` with it;
    `tokens_per_second` (positions, padding included) and `events_per_second`
    (raw events read) over `minutes`; `padding_share`; `train_loss` at the end
    of the `curve`.
  """
  lines = read_lines(run)
  config = json.loads((Path(run) / "config.json").read_text())
  steps = int(lines[-1]["step"])
  spans = _spans(lines)
  mean = lambda values: sum(map(operator.mul, values, spans)) / steps
  rate = steps * tokens_a_step(config) / sum(_seconds(lines))
  events_a_token = mean(
      line["events_per_second"] / line["tokens_per_second"] for line in lines
  )
  return {
      "steps": steps,
      "minutes": sum(_seconds(lines)) / 60,
      "wall_minutes": lines[-1]["seconds"] / 60,
      "tokens_per_second": rate,
      "events_per_second": rate * events_a_token,
      "padding_share": mean(line["padding_share"] for line in lines),
      "train_loss": curve(run)[-1]["loss"],
  }


def masked_share(run: str | Path) -> tuple[float, float, float] | None:
  """Events that were hidden in training: mean, least and most of the lines.

  None where none were.
  """
  lines = read_lines(run)
  named = [name for name in lines[0] if name.rpartition("/")[2] == "mask_rate"]
  if not named:
    return None
  shares = [line[named[0]] for line in lines]
  spans = _spans(lines)
  mean = sum(map(operator.mul, shares, spans)) / sum(spans)
  return mean, min(shares), max(shares)


def tokens_a_step(config: Any) -> int:
  """Positions of a batch, padding included."""
  return config["data"]["batch_size"] * config["data"]["max_length"]


def read_lines(run: str | Path) -> list[dict[str, float]]:
  """The lines of metrics.jsonl that tell of training.

  Raises:
    UserError: if there is none.
  """
  path = Path(run) / "metrics.jsonl"
  lines = read_metrics(path) if path.exists() else []
  lines = [line for line in lines if "tokens_per_second" in line]
  if not lines:
    raise UserError(f"{path}: tells of no training step. Train the run anew.")
  return lines


def _spans(lines: list[dict[str, float]]) -> list[int]:
  """Steps that each line is over."""
  ends = [int(line["step"]) for line in lines]
  return [
      end - start for start, end in zip([0, *ends[:-1]], ends, strict=True)
  ]


def _seconds(lines: list[dict[str, float]]) -> list[float]:
  """Seconds of the steps of each line.

  The first line holds the compilation, so its steps are taken to be as fast
  as the others. Pauses between a stop and a resume are not in the lines; the
  compilation after a resume is.
  """
  ends = [line["seconds"] for line in lines]
  seconds = [
      end - start for start, end in zip([0.0, *ends[:-1]], ends, strict=True)
  ]
  if len(lines) > 1:
    spans = _spans(lines)
    seconds[0] = spans[0] * sum(seconds[1:]) / sum(spans[1:])
  return seconds

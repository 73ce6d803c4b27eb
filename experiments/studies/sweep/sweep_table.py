"""The table of a sweep: means over seeds, intervals, paired tests."""

from collections.abc import Mapping, Sequence
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from behavior_lm.artifacts.scores import kept
from behavior_lm.artifacts.scores import load_scores
from behavior_lm.artifacts.scores import SequenceScores
from behavior_lm.evaluation import table
from behavior_lm.logs.dataset import Dataset
from behavior_lm.recipes.evaluate import check_alike
from behavior_lm.recipes.evaluate import open_evaluator
from experiments.studies import equal_time
from experiments.studies import timed_runs
from experiments.studies.sweep.sweep_probe import mean_probes

MAIN = table.TOKEN_MAIN
_BASELINES = "baselines.npz"


def make_table(
    study: Path,
    runs: Mapping[str, Sequence[dict[str, Any]]],
    control: str,
    dataset: Dataset,
    probes: Mapping[str, Sequence[Mapping[str, Any]]],
) -> dict[str, Any]:
  """Rows of a sweep beside the plain baselines.

  Scores of a row are the means of its seeds, user by user, before the
  bootstrap; `spread` is the standard deviation of the seeds. `to_control` is
  the paired difference to the control, with p after Holm's correction (1979)
  for the number of rows; `masked_share` is that of the first seed.

  Args:
    study: the folder of the runs.
    runs: row -> results of its finished seeds, `timed_runs.finished`.
    control: name of a row.
    dataset: that they are scored on.
    probes: name of a run -> its probes, see `sweep_probe`.

  Raises:
    UserError: if runs were scored on different events.
  """
  folders = [
      study / run["name"] / equal_time.RUN for row in runs.values()
      for run in row
  ]
  check_alike(folders, "test")
  evaluator, _ = open_evaluator(folders[0], dataset, "test")
  seeds = {
      row: [_scores(study, run["name"]) for run in results]
      for row, results in runs.items()
  }
  means = {row: mean_scores(scores) for row, scores in seeds.items()}

  def baselines() -> dict[str, SequenceScores]:
    found, unfair = evaluator.baselines()
    return {name: one for name, one in found.items() if name not in unfair}

  fair = kept(study / _BASELINES, baselines)
  rows = table.make_rows(means, fair)
  for row in rows:
    name = row["model"]
    if row["kind"] == "model":
      values = [one.summary()[MAIN] for one in seeds[name]]
      row["seeds"] = [run["seed"] for run in runs[name]]
      row["spread"] = float(np.std(values, ddof=1)) if len(values) > 1 else None
      row["cost"] = _cost(runs[name])
      row["masked_share"] = equal_time.masked_share(
          study / runs[name][0]["name"] / equal_time.RUN
      )
      row["probes"] = mean_probes(
          [probes[run["name"]] for run in runs[name] if run["name"] in probes]
      )
      row["to_control"] = None
      if control in means and name != control:
        row["to_control"] = table.difference(means[name], means[control], MAIN)
  _correct([row["to_control"] for row in rows if row.get("to_control")])
  return {
      "split": evaluator.split,
      "title": evaluator.title,
      "settings": evaluator.settings,
      "columns": [dict(column) for column in table.TOKEN_COLUMNS],
      "main": MAIN,
      "control": control,
      "rows": rows,
  }


def mean_scores(scores: Sequence[SequenceScores]) -> SequenceScores:
  """The mean over seeds of what each sequence costs."""
  mean = lambda name: np.mean([getattr(one, name) for one in scores], axis=0)
  return dataclasses.replace(
      scores[0], nats=mean("nats"), correct=mean("correct")
  )


def holm(p_values: Sequence[float]) -> list[float]:
  """Holm's step-down p values (1979), in the order given.

  The k-th smallest of n is multiplied by n - k + 1, and none is below one
  that was smaller.
  """
  order = np.argsort(p_values, kind="stable")
  out = np.ones(len(p_values))
  highest = 0.0
  for rank, place in enumerate(order):
    highest = max(highest, (len(p_values) - rank) * p_values[place])
    out[place] = min(1.0, highest)
  return [float(p) for p in out]


def _correct(differences: Sequence[dict[str, Any]]) -> None:
  corrected = holm([one["p"] for one in differences])
  for one, p in zip(differences, corrected, strict=True):
    one["p_holm"] = p


def _scores(study: Path, name: str) -> SequenceScores:
  (scores,) = load_scores(study / name / timed_runs.SCORES).values()
  return scores


def _cost(results: Sequence[Mapping[str, Any]]) -> dict[str, float]:
  mean = lambda name: float(np.mean([one[name] for one in results]))
  names = ("steps", "minutes", "num_params", "tokens_per_second")
  return {name: mean(name) for name in names}

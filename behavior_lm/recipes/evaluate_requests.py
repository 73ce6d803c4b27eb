"""Trained rankers on the rows of requests, beside plain models."""

from collections.abc import Mapping, Sequence
import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from behavior_lm.artifacts.commands import this_command
from behavior_lm.baselines.click_models import boosted_trees
from behavior_lm.baselines.click_models import logistic_regression
from behavior_lm.common.errors import UserError
from behavior_lm.data.features.requests import RequestRows
from behavior_lm.evaluation import classification
from behavior_lm.evaluation import request_metrics
from behavior_lm.recipes import ranking
from behavior_lm.recipes.ranking_run import load_ranking_run
from behavior_lm.recipes.ranking_run import RankingRun
from behavior_lm.recipes.shared import request_data
from behavior_lm.recipes.shared.scored import Scored
from behavior_lm.training.sharding import make_mesh

COLUMNS = (
    dict(name="auc", title="AUC", format=".4f", better="high"),
    dict(name="uauc", title="UAUC", format=".4f", better="high"),
    dict(name="log_loss", title="log loss", format=".4f", better="low"),
    dict(
        name="calibration",
        title="predicted / observed",
        format=".3f",
        better="low",
    ),
    dict(
        name="calibration_error",
        title="calibration error",
        format=".4f",
        better="low",
    ),
    dict(name="hit", title="HIT@3", format=".4f", better="high"),
)
NOTES = (
    "UAUC is the unweighted mean of the AUC of users with both classes.",
    "Intervals are 95 %, by a bootstrap over users; a difference is of AUC, the"
    " row minus the best baseline, paired by user.",
)


def evaluate_requests(
    runs: Sequence[str | Path],
    name: str,
    path: str = "",
    *,
    best: bool = False,
) -> dict[str, Any]:
  """Scores runs and baselines by the evaluator `config.evals.NAME`.

  Args:
    runs: folders of configs/ranking.py, over the same tables.
    name: of the evaluator; its first head is what the table is about.
    path: another folder of tables; empty is that of the first run.
    best: score the best checkpoint of each run instead of the last.

  Returns:
    The record of `artifacts.evaluation`.

  Raises:
    UserError: if a folder is no such run, or the runs cannot be compared.
  """
  scored = Scored()
  first: RequestRows | None = None
  for folder in runs:
    run = load_ranking_run(folder, best=best)
    if path:
      run.config.data.path = path
    evaluator, data = open_requests(run, name)
    rows = data.sides[evaluator.split]
    first = first or rows
    if not np.array_equal(first.labels, rows.labels, equal_nan=True):
      raise UserError(
          f"{folder} is measured on other rows than {runs[0]}; evaluate them"
          " apart."
      )
    found = evaluator.subject.predict(run.state, evaluator.split)
    scored.add(folder, describe_run(run), found[:, 0], run.config)
  assert first is not None
  train, wanted = data.sides["train"], {"rows": rows}
  baselines = {
      "logistic regression": logistic_regression(train, wanted)["rows"],
      "boosted trees": boosted_trees(train, wanted)["rows"],
  }
  digest = hashlib.sha256(np.ascontiguousarray(rows.labels).tobytes())
  known = ~np.isnan(rows.labels[:, 0])
  return {
      "evaluator": "requests",
      "title": f"Requests, head {run.heads[0]}",
      "command": this_command(),
      "data": Path(run.config.data.path).name,
      "data_fingerprint": digest.hexdigest()[:16],
      "split": evaluator.split,
      "settings": {"k": evaluator.k},
      "counts": {
          "targets": int(known.sum()),
          "events": len(data.actions) if data.actions else 0,
          "users": len(np.unique(rows.users)),
      },
      "columns": [dict(column) for column in COLUMNS],
      "main": "auc",
      "notes": list(NOTES),
      "rows": make_rows(
          rows, scored.models, baselines, scored.seeds, scored.hashes
      ),
  }


def open_requests(
    run: RankingRun, name: str
) -> tuple[Any, request_data.RequestData]:
  """The evaluator `config.evals.NAME` of a run, and its tables."""
  if name not in run.config.evals:
    raise UserError(
        f"the config of a run has no evaluator {name!r}; it has"
        f" {', '.join(run.config.evals) or 'none'}."
    )
  data = request_data.make_data(run.config, run.space)
  subject = ranking.make_subject(run.config, data, run.graphdef, make_mesh())
  return ranking.make_evaluator(run.config, name, subject), data


def describe_run(run: RankingRun) -> str:
  """A name of the model in a table."""
  model = run.config.model
  if model.history == "none":
    return "DCN v2, no history"
  fusion = ""
  if model.history == "transact":
    fusion = f" ({model.history_options.transact.fusion})"
  return f"{model.history}{fusion}"


def make_rows(
    rows: RequestRows,
    models: Mapping[str, np.ndarray],
    baselines: Mapping[str, np.ndarray],
    seeds: Mapping[str, int],
    hashes: Mapping[str, str],
) -> list[dict[str, Any]]:
  """Rows of `artifacts.evaluation` from probabilities [n] of one head."""
  labels = rows.labels[:, 0]
  known = ~np.isnan(labels)
  draws = {
      name: request_metrics.resampled(
          labels[known], found[known], rows.users[known]
      )
      for name, found in {**models, **baselines}.items()
  }
  best = max(baselines, key=lambda name: draws[name]["auc"][0])
  out = []
  for kind, group in (("model", models), ("baseline", baselines)):
    for name, found in group.items():
      gap = None
      if kind == "model":
        gap = classification.difference(
            draws[name]["auc"], draws[best]["auc"]
        )
      values = request_metrics.row_figures(
          labels[known], found[known], rows.users[known]
      )
      hits = request_metrics.hit_at_k(
          rows.requests, found, {"hit": labels}, 3
      )
      out.append({
          "model": name,
          "kind": kind,
          "seed": seeds.get(name),
          "config_hash": hashes.get(name),
          "values": values | hits,
          "ci": {
              one: classification.estimate(values).interval
              for one, values in draws[name].items()
          },
          "difference": gap
          and {
              "baseline": best,
              "value": gap.value,
              "ci": gap.interval,
              "p": gap.p,
          },
      })
  return out

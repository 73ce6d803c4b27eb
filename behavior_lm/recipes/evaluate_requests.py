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
from behavior_lm.evaluation.request_scores import RequestScores
from behavior_lm.recipes import ranking
from behavior_lm.recipes.ranking_run import load_ranking_run
from behavior_lm.recipes.ranking_run import RankingRun
from behavior_lm.recipes.shared import request_data
from behavior_lm.recipes.shared.scored import Scored
from behavior_lm.training.sharding import make_mesh

BASELINES = {
    "logistic regression": logistic_regression,
    "boosted trees": boosted_trees,
}
# Of each head.
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
)
# Of the first k of each request, by the column `evals.NAME.category`.
DIVERSITY = (
    dict(name="entropy", title="category entropy", better="high"),
    dict(name="repeats", title="repeated categories", better="low"),
    dict(name="recent", title="categories of the last day", better="low"),
)
NOTES = (
    "UAUC is the unweighted mean of the AUC of users with both classes.",
    "Intervals are 95 %, by a bootstrap over users; a difference is of the AUC"
    " of the first head, the row minus the best baseline, paired by user.",
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
    name: of the evaluator; intervals and differences are of its first head.
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
    scored.add(folder, describe_run(run), found, run.config)
  assert first is not None
  baselines = {
      name: _all_heads(fit, data.sides["train"], rows)
      for name, fit in BASELINES.items()
  }
  columns = make_columns(run.heads, evaluator.k, bool(evaluator.category))
  digest = hashlib.sha256(np.ascontiguousarray(rows.labels).tobytes())
  known = ~np.isnan(rows.labels[:, 0])
  return {
      "evaluator": "requests",
      "title": f"Requests, {', '.join(run.heads)}",
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
      "columns": columns,
      "main": columns[0]["name"],
      "notes": list(NOTES),
      "rows": make_rows(
          evaluator, scored.models, baselines, scored.seeds, scored.hashes
      ),
  }


def _all_heads(
    fit: Any, train: RequestRows, rows: RequestRows
) -> np.ndarray:
  """[n, heads] probabilities of a plain model, fitted to each head."""
  found = []
  for head in range(rows.labels.shape[1]):
    share = float(np.nanmean(train.labels[:, head]))
    if share in (0.0, 1.0):
      # There is nothing to tell apart.
      found.append(np.full(len(rows), share))
    else:
      found.append(fit(train, {"rows": rows}, head)["rows"])
  return np.stack(found, 1)


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


def make_columns(
    heads: Sequence[str], k: int, diversity: bool
) -> list[dict[str, Any]]:
  """The columns of all heads, named as `RequestScores.figures` does."""
  hit = dict(name=f"hit@{k}", title=f"HIT@{k}", format=".4f", better="high")
  found = []
  for head in heads:
    prefix = f"{head}/" if len(heads) > 1 else ""
    found += [
        column
        | dict(
            name=prefix + column["name"],
            title=(f"{head} " if prefix else "") + column["title"],
        )
        for column in (*COLUMNS, hit)
    ]
  if diversity:
    found += [
        column | dict(name=f"{column['name']}@{k}", format=".4f")
        for column in DIVERSITY
    ]
  return found


def make_rows(
    evaluator: RequestScores,
    models: Mapping[str, np.ndarray],
    baselines: Mapping[str, np.ndarray],
    seeds: Mapping[str, int],
    hashes: Mapping[str, str],
) -> list[dict[str, Any]]:
  """Rows of `artifacts.evaluation`.

  Args:
    evaluator: of the rows.
    models: name -> [n, heads] probabilities.
    baselines: name -> the same.
    seeds, hashes: of the models.
  """
  subject = evaluator.subject
  rows, heads = subject.sides[evaluator.split], subject.heads
  prefix = f"{heads[0]}/" if len(heads) > 1 else ""
  labels = rows.labels[:, 0]
  known = ~np.isnan(labels)
  draws = {
      name: request_metrics.resampled(
          labels[known], found[known, 0], rows.users[known]
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
      out.append({
          "model": name,
          "kind": kind,
          "seed": seeds.get(name),
          "config_hash": hashes.get(name),
          "values": evaluator.figures(found),
          "ci": {
              prefix + one: classification.estimate(values).interval
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

"""The ranking of trained next-item models, beside counts."""

from collections.abc import Sequence
import math
from pathlib import Path
from typing import Any

from behavior_lm.common.errors import UserError
from behavior_lm.evaluation.next_item_ranking import NextItemRanking
from behavior_lm.evaluation.ranking import ranking_columns
from behavior_lm.logs.dataset import Dataset
from behavior_lm.recipes import retrieval
from behavior_lm.recipes.item_run import ItemRun
from behavior_lm.recipes.item_run import load_item_run
from behavior_lm.recipes.shared.scored import Scored
from behavior_lm.training.sharding import make_mesh

_NOTE = (
    "A user is cold below 5 events of history; of the others the most active"
    " fifth is head. Groups without users have no column."
)


def evaluate_ranking(
    runs: Sequence[str | Path],
    dataset: Dataset,
    name: str,
    split: str = "",
    *,
    best: bool = False,
) -> dict[str, Any]:
  """Ranks by runs and by baselines; see `recipes.evaluate.evaluate_runs`.

  Raises:
    UserError: if a folder is no such run, or the runs cannot be compared.
  """
  scored = Scored()
  first: ItemRun | None = None
  for run in runs:
    loaded = load_item_run(run, best=best)
    first = first or loaded
    if not _alike(first, loaded, name):
      raise UserError(
          f"{run} differs from {runs[0]} in evals.{name} or in its items;"
          " evaluate them apart."
      )
    evaluator = _evaluator(loaded, dataset, name, split)
    label = f"{loaded.config.model.name} ({loaded.config.objective.name})"
    scored.add(run, label, evaluator.scores(loaded.state), loaded.config)
  k, ranked = evaluator.k, scored.first
  summary = ranked.summary()
  return scored.record(
      "ranking",
      evaluator,
      dataset,
      evaluator.baselines(),
      counts={
          "targets": len(ranked.ranks),
          "events": int(ranked.history.sum()),
          "users": len(ranked.users),
      },
      # A group without users has no figures.
      columns=[
          column
          for column in ranking_columns(k)
          if not math.isnan(summary[column["name"]])
      ],
      main=f"ndcg@{k}",
      notes=[*evaluator.notes, _NOTE],
      intervals=(f"hr@{k}",),
  )


def _alike(first: ItemRun, other: ItemRun, name: str) -> bool:
  """Raises UserError if a run lacks the evaluator."""
  for run in (first, other):
    if name not in run.config.evals:
      raise UserError(
          f"the config of a run has no evaluator {name!r}; it has"
          f" {', '.join(run.config.evals) or 'none'}."
      )
  settings = lambda run: run.config.evals[name].to_dict() | {"every": 0}
  same_items = first.vocabulary.items.equals(other.vocabulary.items)
  return settings(first) == settings(other) and same_items


def _evaluator(
    loaded: ItemRun, dataset: Dataset, name: str, split: str
) -> NextItemRanking:
  subject = retrieval.make_subject(
      loaded.config, dataset, loaded.vocabulary, loaded.graphdef, make_mesh()
  )
  changes = {"every": 0, "max_users": 0} | ({"split": split} if split else {})
  return retrieval.make_evaluator(loaded.config, name, subject, **changes)

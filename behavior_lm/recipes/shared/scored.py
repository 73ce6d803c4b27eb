"""What the evaluations of all recipes put into their record."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import ml_collections

from behavior_lm.artifacts.commands import this_command
from behavior_lm.artifacts.run_folder import config_hash
from behavior_lm.evaluation import table
from behavior_lm.logs.dataset import Dataset


class Scored:
  """Scores of runs by the names of their rows, in order.

  Attributes:
    models: name -> scores.
    seeds, hashes: name -> seed and config hash.
  """

  def __init__(self) -> None:
    self.models: dict[str, Any] = {}
    self.seeds: dict[str, int] = {}
    self.hashes: dict[str, str] = {}

  def add(
      self,
      folder: str | Path,
      name: str,
      scores: Any,
      config: ml_collections.ConfigDict,
  ) -> None:
    """Adds a run; where the name is taken, that of its folder joins it."""
    if name in self.models:
      name = f"{name} {Path(folder).name}"
    self.models[name] = scores
    self.seeds[name] = config.seed
    self.hashes[name] = config_hash(config)

  @property
  def first(self) -> Any:
    """The scores of the first run."""
    return next(iter(self.models.values()))

  def record(
      self,
      kind: str,
      evaluator: Any,
      dataset: Dataset,
      baselines: tuple[Mapping[str, Any], Collection[str]],
      **parts: Any,
  ) -> dict[str, Any]:
    """The record of `artifacts.evaluation`.

    Args:
      kind: of the evaluator, a key of a recipe's evaluators.
      evaluator: has `title`, `split` and `settings`.
      dataset: that was scored.
      baselines: name -> scores, and the names of those that are no fair
        rivals.
      **parts: `settings` beside the evaluator's, `counts`, `columns`, `main`,
        `notes`, and `intervals` of `table.make_rows`.
    """
    found, unfair = baselines
    return {
        "evaluator": kind,
        "title": evaluator.title,
        "command": this_command(),
        "data": dataset.path.resolve().name,
        "data_fingerprint": dataset.meta["fingerprint"],
        "split": evaluator.split,
        "settings": evaluator.settings | parts.get("settings", {}),
        "counts": parts["counts"],
        "columns": [dict(column) for column in parts["columns"]],
        "main": parts["main"],
        "notes": [*parts["notes"], table.NOTE],
        "rows": table.make_rows(
            self.models,
            {k: v for k, v in found.items() if k not in unfair},
            {k: v for k, v in found.items() if k in unfair},
            columns=parts["columns"],
            main=parts["main"],
            intervals=parts.get("intervals", ()),
            seeds=self.seeds,
            config_hashes=self.hashes,
        ),
    }

"""Stratified folds x seeds of fine-tuning, resumable, with a result table."""

from collections.abc import Callable, Iterator, Mapping, Sequence
import json
from pathlib import Path
from typing import Any

import ml_collections
import numpy as np
import polars as pl

from behavior_lm.artifacts.commands import this_command
from behavior_lm.artifacts.run_folder import as_saved
from behavior_lm.common import markdown
from behavior_lm.common import resumable
from behavior_lm.common.errors import UserError
from behavior_lm.common.files import write_whole
from behavior_lm.downstream.finetune import evaluate
from behavior_lm.recipes.train import train

RESULT, TABLE, PREDICTIONS = "result.json", "result.md", "predictions.parquet"
FOLD = "fold"


def run_folds(
    config: ml_collections.ConfigDict,
    out: str | Path,
    *,
    num_folds: int,
    num_seeds: int = 1,
    say: Callable[[str], None] = print,
) -> dict[str, Any] | None:
  """Fine-tunes and tests once per fold and seed; the same call resumes it.

  A seed decides the folds, the order of the data and what is born at random.

  Args:
    config: of configs/finetune.py.
    out: folder of the runs and of the result.
    num_folds: of users; each is in one test fold per seed.
    num_seeds: repetitions, seeds `config.seed` and up.
    say: gets a line per test.

  Returns:
    What is in `result.json`; None if a signal stopped it.

  Raises:
    UserError: if a run cannot be trained.
  """
  out = Path(out)
  if num_folds < 2 or num_seeds < 1:
    raise UserError(
        f"{num_folds} folds and {num_seeds} seeds: give at least 2 and 1."
    )
  found: dict[str, dict[str, Any]] = {}
  for task, changed in _tasks(config, num_folds, num_seeds):
    # Before the recipe adds to the config.
    request = as_saved(changed)
    figures = resumable.finished(out, task, request=request)
    if figures is None:
      folder = out / task
      if train(changed, folder) == "stopped":
        return None
      figures, predictions = evaluate(folder)
      path = folder / PREDICTIONS
      predictions.write_parquet(path)
      figures = resumable.finish(
          out,
          task,
          figures,
          [resumable.output(out, path)],
          request=request,
      )
    say(f"{task}: {_line(figures['test'])}")
    found[task] = figures
  result = {
      "command": this_command(),
      "config": as_saved(config),
      "runs": found,
      "summary": summarise([figures["test"] for figures in found.values()]),
  }
  write_whole(out / RESULT, json.dumps(result, indent=1) + "\n")
  write_whole(out / TABLE, to_markdown(result) + "\n")
  return result


def summarise(
    figures: Sequence[Mapping[str, float]],
) -> dict[str, dict[str, float]]:
  """{figure: mean, standard deviation, least and most over runs}."""
  found = {}
  for name in figures[0]:
    values = np.array([one[name] for one in figures], np.float64)
    spread = values.std(ddof=1) if len(values) > 1 else float("nan")
    found[name] = {
        "mean": float(values.mean()),
        "std": float(spread),
        "min": float(values.min()),
        "max": float(values.max()),
    }
  return found


def to_markdown(result: Mapping[str, Any]) -> str:
  """The result table: one line per figure of the test folds."""
  rows = [
      (name, *(f"{values[key]:.4f}" for key in ("mean", "std", "min", "max")))
      for name, values in result["summary"].items()
  ]
  header = (f"test, {len(result['runs'])} runs", "mean", "std", "min", "max")
  return f"`{result['command']}`\n\n{markdown.table(header, rows)}"


def all_predictions(out: str | Path) -> pl.DataFrame:
  """The predictions of all test folds, with `run`, the fold and seed."""
  parts = [
      pl.read_parquet(path).with_columns(run=pl.lit(path.parent.name))
      for path in sorted(Path(out).glob(f"{FOLD}*/{PREDICTIONS}"))
  ]
  if not parts:
    raise UserError(f"{out}: holds no predictions of folds.")
  return pl.concat(parts)


def _tasks(
    config: ml_collections.ConfigDict, num_folds: int, num_seeds: int
) -> Iterator[tuple[str, ml_collections.ConfigDict]]:
  for seed in range(config.seed, config.seed + num_seeds):
    for fold in range(num_folds):
      changed = config.copy_and_resolve_references()
      changed.seed = seed
      changed.split.kind = "folds"
      changed.split.num_folds = num_folds
      changed.split.fold = fold
      changed.split.seed = seed
      yield f"{FOLD}{fold}_seed{seed}", changed


def _line(figures: Mapping[str, float]) -> str:
  return "  ".join(f"{name} {value:.4f}" for name, value in figures.items())

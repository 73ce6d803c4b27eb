"""Trains rankers on one table and compares them, paired by user."""

from collections.abc import Mapping, Sequence
import dataclasses
import json
from pathlib import Path
from typing import Any

import ml_collections
import numpy as np

from behavior_lm.artifacts.metrics import read_metrics
from behavior_lm.artifacts.run_folder import config_hash
from behavior_lm.artifacts.run_folder import flatten
from behavior_lm.baselines.click_models import boosted_trees
from behavior_lm.baselines.click_models import logistic_regression
from behavior_lm.common import markdown
from behavior_lm.common.files import write_whole
from behavior_lm.evaluation import classification
from behavior_lm.evaluation import request_metrics
from behavior_lm.recipes.evaluate_requests import open_requests
from behavior_lm.recipes.ranking_run import load_ranking_run
from behavior_lm.recipes.train import train
from configs.ranking import get_config

# Figures of others on this table, for the page: AUC, UAUC.
PUBLISHED = {
    "SASRec (CoLLM's code)": (0.7078, 0.6738),
    "CoLLM (7B), as published": (0.7295, 0.6990),
    "BinLLM (7B), as published": (0.7425, 0.6956),
}
MEASURES = ("auc", "uauc", "log_loss")
METRICS, SCORES = "metrics.jsonl", "test_scores.json"


@dataclasses.dataclass(frozen=True)
class Variant:
  """One row of the table.

  Attributes:
    name: of the row.
    history: argument of configs/ranking.py.
    changes: {dotted key: value} of the config.
  """

  name: str
  history: str
  changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)


NO_ACTIONS = {"data.actions": "", "model.counts": False}
VARIANTS = (
    Variant("DCN v2, user and item alone", "none", NO_ACTIONS),
    Variant("DCN v2 + counts of actions", "none"),
    Variant("average pool, no counts", "average", {"model.counts": False}),
    Variant("average pool", "average"),
    Variant("CNN", "cnn"),
    Variant("GRU", "gru"),
    Variant("DIN", "din"),
    Variant("BST", "bst"),
    Variant("TransAct, concat", "transact"),
    Variant(
        "TransAct, append",
        "transact",
        {"model.history_options.transact.fusion": "append"},
    ),
    Variant(
        "TransAct, concat, window mask", "transact", {"model.window": "example"}
    ),
    Variant(
        "DCN v2 + counts of actions, chosen by UAUC",
        "none",
        {"keep_best.metric": "valid/uauc"},
    ),
    # TransAct's own ablations (arXiv 2306.00248, section 4.3).
    Variant("TransAct, no counts", "transact", {"model.counts": False}),
    *(
        Variant(
            f"TransAct, {length} actions",
            "transact",
            {"data.num_actions": length},
        )
        for length in (10, 50, 100)
    ),
    *(
        Variant(
            f"TransAct, {name.replace('_', ' ')} {value}",
            "transact",
            {f"model.history_options.transact.{name}": value},
        )
        for name, values in (
            ("num_layers", (1, 3)),
            ("mlp_dim", (16, 64)),
            ("num_heads", (2,)),
            ("num_first", (0, 1, 20)),
            ("pool", ("rest", "none")),
            ("positions", (True,)),
            ("time_encoding", ("gate",)),
        )
        for value in values
    ),
    *(
        Variant(
            f"TransAct, window mask per {window}"
            if window != "none"
            else "TransAct, no window mask",
            "transact",
            {"model.window": window},
        )
        for window in ("none", "example", "batch")
    ),
    # Options of TransAct V2.
    *(
        Variant(
            f"TransAct, next action among {source}",
            "transact",
            {"objective.next_weight": 0.1, "objective.next_source": source},
        )
        for source in ("batch", "shown")
    ),
    Variant(
        "TransAct, 20 newest and 20 nearest of 10,000 actions",
        "transact",
        {
            "data.num_actions": 10_000,
            "model.num_recent": 20,
            "model.num_nearest": 20,
            "model.history_options.transact.positions": True,
        },
    ),
)


def variant_config(
    table: str,
    path: str,
    variant: Variant,
    seed: int,
    changes: Mapping[str, Any],
) -> ml_collections.ConfigDict:
  """The config of one run."""
  config = get_config(f"table={table},history={variant.history}")
  config.data.path = path
  config.seed = seed
  flat = flatten(config.to_dict())
  for key, value in {**changes, **variant.changes}.items():
    if isinstance(flat.get(key), str):
      value = str(value)
    with config.ignore_type():
      config.update_from_flattened_dict({key: value})
  return config


def run_variant(
    config: ml_collections.ConfigDict, folder: Path
) -> tuple[np.ndarray, dict[str, Any]]:
  """Trains, or goes on with, one run and scores the test rows.

  Scores are kept in the run folder, so that a table is made anew at once.

  Returns:
    [n] probabilities of the first head, and what the run was, with the figures
    of all heads.
  """
  kept = folder / SCORES
  found = json.loads(kept.read_text()) if kept.exists() else {}
  if "figures" in found:
    return np.array(found.pop("scores")), found
  train(config, folder)
  run = load_ranking_run(folder, best=True)
  evaluator, _ = open_requests(run, "test")
  predicted = evaluator.subject.predict(run.state, evaluator.split)
  scores = predicted[:, 0]
  lines = [line for line in read_metrics(folder / METRICS) if "seconds" in line]
  about = {
      "seed": int(config.seed),
      "config_hash": config_hash(config),
      "best_step": run.step,
      "figures": evaluator.figures(predicted),
      "seconds": float(lines[-1]["seconds"]),
  }
  write_whole(kept, json.dumps(about | {"scores": scores.tolist()}))
  return scores, about


def measured(rows: Any, scores: np.ndarray) -> dict[str, np.ndarray]:
  """Draws of `request_metrics.resampled`, value first."""
  return request_metrics.resampled(rows.labels[:, 0], scores, rows.users)


def plain_rows(data: Any) -> dict[str, dict[str, np.ndarray]]:
  """{name: draws} of logistic regression and of boosted trees."""
  sides = data.sides
  train_rows, test = sides["train"], {"test": sides["test"]}
  found = {
      "logistic regression of ids": logistic_regression(train_rows, test),
      "boosted trees, no history": boosted_trees(
          train_rows, test, counts=False
      ),
      "boosted trees + counts of actions": boosted_trees(train_rows, test),
  }
  return {name: measured(sides["test"], x["test"]) for name, x in found.items()}


def row_of(
    name: str,
    draws: Sequence[Mapping[str, np.ndarray]],
    reference: Mapping[str, np.ndarray],
    about: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
  """A row: means over seeds, intervals over users, tests against one model.

  Args:
    name: of the row.
    draws: of each seed.
    reference: of the model to compare with.
    about: of each run.
  """
  row: dict[str, Any] = {"model": name, "runs": list(about)}
  for metric in MEASURES:
    # The draws of a mean over seeds: the users vary, and the mean is what a
    # reader would get from these seeds.
    values = np.mean([one[metric] for one in draws], 0)
    gap = classification.difference(values, reference[metric])
    row[metric] = {
        "value": float(values[0]),
        "ci": classification.estimate(values).interval,
        "seeds": [float(one[metric][0]) for one in draws],
        "gap": gap.value,
        "gap_ci": gap.interval,
        "p": gap.p,
    }
  return row


def figures_tables(rows: Sequence[Mapping[str, Any]]) -> list[str]:
  """The figures of all heads and of lists, means over seeds, as Markdown."""
  rows = [row for row in rows if row["runs"]]
  if not rows:
    return []
  names = list(rows[0]["runs"][0]["figures"])
  lists = [name for name in names if "@" in name]
  mean = lambda row, name: (
      f"{np.mean([run['figures'][name] for run in row['runs']]):.4f}"
  )
  of_lists = [[row["model"], *(mean(row, n) for n in lists)] for row in rows]
  columns = [name for name in names if name not in lists]
  heads = list(dict.fromkeys(name.rpartition("/")[0] for name in columns))
  kinds = list(dict.fromkeys(name.rpartition("/")[2] for name in columns))
  of_heads = [
      [
          row["model"],
          head,
          *(mean(row, f"{head}/{kind}" if head else kind) for kind in kinds),
      ]
      for head in heads
      for row in rows
  ]
  return [
      markdown.table(["model", *lists], of_lists),
      "",
      markdown.table(["model", "head", *kinds], of_heads),
      "",
  ]


def page(result: Mapping[str, Any]) -> str:
  """The table as Markdown."""
  cell = lambda row, name: (
      f"{row[name]['value']:.4f} ({row[name]['ci'][0]:.4f} to"
      f" {row[name]['ci'][1]:.4f})"
  )
  gap = lambda row, name: (
      f"{row[name]['gap']:+.4f} (p {row[name]['p']:.3f})"
  )
  rows = [
      [
          row["model"],
          str(max(len(row["runs"]), 1)) if row["runs"] else "",
          *(cell(row, name) for name in MEASURES),
          gap(row, "auc"),
          gap(row, "uauc"),
      ]
      for row in result["rows"]
  ]
  rows += [
      [name, "", f"{auc:.4f}", f"{uauc:.4f}", "", "", ""]
      for name, (auc, uauc) in result["published"].items()
  ]
  header = [
      *("model", "seeds", "AUC", "UAUC", "log loss"),
      *("AUC against ids", "UAUC against ids"),
  ]
  return "\n".join([
      f"# Rankers on {result['data']}",
      "",
      "    " + result["command"],
      "",
      markdown.table(header, rows),
      "",
      *figures_tables(result["rows"]),
      f"Test rows: {result['test_rows']:,} of {result['test_users']:,} users;"
      f" UAUC is the mean over the {result['uauc_users']:,} with both classes."
      " Intervals are 95 % by a bootstrap over users, differences are paired by"
      f" user and against {result['reference']}. Checkpoints are chosen by AUC"
      " on the validation rows. Actions are the user's earlier rows, liked or"
      " not, of all three tables, or those of the log, strictly before the"
      " request.",
      "",
      "Settings of all runs: "
      + ", ".join(f"{k}={v}" for k, v in result["changes"].items())
      + ".",
      "",
  ])

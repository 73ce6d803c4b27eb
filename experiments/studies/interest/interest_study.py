"""Arms of the interest system, trained by equal steps and ranked alike."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from behavior_lm.artifacts.metrics import read_metrics
from behavior_lm.common.errors import UserError
from behavior_lm.common.files import whole_file
from behavior_lm.common.markdown import table as markdown_table
from behavior_lm.evaluation import table
from behavior_lm.evaluation.own_short import COLUMNS
from behavior_lm.evaluation.own_short import MAIN
from behavior_lm.evaluation.own_short import OwnRanks
from behavior_lm.evaluation.own_short import OwnShort
from behavior_lm.logs.dataset import Dataset
from behavior_lm.recipes import interest
from behavior_lm.recipes.interest_run import load_interest_run
from behavior_lm.recipes.train import train
from behavior_lm.training.sharding import make_mesh
from configs.interest import get_config

# name -> (what it is, argument of the config, changes of the config).
_SOFTMAX = "objective=in_batch_users"
_MEAN = {
    "model.num_layers": 0,
    "model.pooling": "mean",
    "experts.num_experts": 0,
}
ARMS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "described": ("BPR, experts by share, CLS", "", {}),
    "softmax": ("softmax, experts by share, CLS", _SOFTMAX, {}),
    "mean_pooling": (
        "softmax, mean of the fields, no towers", _SOFTMAX, _MEAN
    ),
    "one_tower": (
        "softmax, experts by share, CLS, one tower for both",
        _SOFTMAX,
        {"model.share_towers": True},
    ),
    "no_experts": (
        "softmax, no experts, CLS", _SOFTMAX, {"experts.num_experts": 0}
    ),
    "bias": (
        "softmax, experts by bias, CLS", _SOFTMAX, {"experts.balance": "bias"}
    ),
    "unbalanced": (
        "softmax, experts unbalanced, CLS",
        _SOFTMAX,
        {"experts.balance": "none"},
    ),
    "mean": (
        "softmax, experts by share, mean of the states",
        _SOFTMAX,
        {"model.pooling": "mean"},
    ),
    "no_clock": (
        "softmax, experts by share, CLS, no calendar",
        _SOFTMAX,
        {"data.features": "action,category,from_start,to_end"},
    ),
}
SPLIT = "heldout_users"
_RANKS = "heldout_ranks.npz"
_BALANCE = ("load_excess", "load_entropy", "dead_experts")


def arm_config(
    name: str,
    data: str,
    *,
    steps: int,
    seed: int,
    changes: Mapping[str, Any],
) -> Any:
  """The config of an arm.

  Args:
    name: key of `ARMS`.
    data: the dataset folder.
    steps: of training.
    seed: of parameters and batches.
    changes: of the config, for all arms; those of an arm come last.
  """
  _, argument, own = ARMS[name]
  config = get_config(",".join(filter(None, ["size=small", argument])))
  config.seed = seed
  config.data.path = data
  config.epochs = 0.0
  config.total_steps = steps
  config.checkpoint_every = steps
  config.log_every = max(1, steps // 10)
  config.evals.valid_users.every = 0
  for key, value in {**changes, **own}.items():
    section, _, last = key.rpartition(".")
    config[section][last] = value
  return config


def run_arm(config: Any, folder: Path, dataset: Dataset) -> OwnRanks:
  """Trains an arm, or goes on with it, and ranks; kept in its folder."""
  saved = folder / _RANKS
  if not saved.exists():
    outcome = train(config, folder)
    if outcome != "finished":
      raise UserError(
          f"{folder}: training ended as {outcome!r}. The same command goes on."
      )
    run = load_interest_run(folder)
    evaluator = OwnShort(run.subject(dataset, make_mesh()), split=SPLIT)
    found = evaluator.scores(run.state)
    with whole_file(saved) as temporary, temporary.open("wb") as file:
      np.savez(file, users=found.users.astype(str), ranks=found.ranks)
  with np.load(saved) as arrays:
    return OwnRanks(arrays["users"].astype(object), arrays["ranks"])


def run_figures(folder: Path) -> dict[str, float]:
  """The seconds of a run, and the balance of its experts at the end."""
  rows = read_metrics(folder / "metrics.jsonl")
  last = [row for row in rows if "loss" in row][-1]
  kept = {name: last[name] for name in _BALANCE if name in last}
  return {"seconds": last["seconds"], "loss": last["loss"], **kept}


def baselines(
    config: Any, dataset: Dataset
) -> tuple[dict[str, OwnRanks], set[str]]:
  """Ranks by counts, of the same candidates."""
  recipe = interest.Interest(config)
  subject = interest.make_subject(
      config,
      dataset,
      recipe.vocabulary,
      {
          name: interest.codes_of(dataset, name)
          for name in interest.category_columns(recipe.reading)
      },
      None,
      make_mesh(),
  )
  return OwnShort(subject, split=SPLIT).baselines()


def make_rows(
    models: Mapping[str, OwnRanks],
    counts: Mapping[str, OwnRanks],
    unfair: set[str],
) -> list[dict[str, Any]]:
  """Rows with intervals over users and differences from the best count."""
  return table.make_rows(
      {ARMS[name][0]: found for name, found in models.items()},
      {k: v for k, v in counts.items() if k not in unfair},
      {k: v for k, v in counts.items() if k in unfair},
      columns=COLUMNS,
      main=MAIN,
      intervals=("hr@1",),
  )


def paired(models: Mapping[str, OwnRanks]) -> list[dict[str, Any]]:
  """Each arm minus the arm `softmax`, paired by user."""
  if "softmax" not in models:
    return []
  rows = []
  for name, found in models.items():
    gap = table.difference(found, models["softmax"], MAIN)
    if name != "softmax" and gap is not None:
      rows.append({"arm": ARMS[name][0], **gap})
  return rows


def page(result: Mapping[str, Any]) -> str:
  """The Markdown of a result."""
  return "\n".join([
      "# Own short sequence among others: Taobao",
      "",
      "    " + result["command"],
      "",
      f"{result['users']} held-out users, {result['others']} sampled others"
      f" each; every arm is one run of {result['steps']} steps of"
      f" {result['batch_size']} users (seed {result['seed']}). These are"
      " screens of minutes on a shared processor: they rank settings by their"
      " first steps and are no final figures. Intervals are 95 % over users.",
      "",
      _scores(result["rows"]),
      "",
      "The calendar and the place in time of a sequence give it away: the last"
      " line reads nothing else. The arm without a calendar is free of that.",
      "",
      "Differences of MRR from the arm with softmax, share and CLS, paired by"
      " user:",
      "",
      _pairs(result["pairs"]),
      "",
      "Balance over the last tenth of the steps: largest load / mean - 1,"
      " entropy of the loads (1 is even), share of dead experts (below 1 % of"
      " the mean), per step:",
      "",
      _balance(result["runs"]),
      "",
  ])


def _scores(rows: list[dict[str, Any]]) -> str:
  lines = []
  for row in rows:
    cells = [row["model"], row["kind"]]
    for column in COLUMNS:
      name = column["name"]
      text = f"{row['values'][name]:.3f}"
      if limits := (row.get("ci") or {}).get(name):
        text += f" ({limits[0]:.3f} to {limits[1]:.3f})"
      cells.append(text)
    lines.append(cells)
  return markdown_table(
      ["", "kind", *(column["title"] for column in COLUMNS)], lines
  )


def _pairs(rows: list[dict[str, Any]]) -> str:
  return markdown_table(
      ["arm", "difference", "p"],
      [
          [
              row["arm"],
              f"{row['value']:+.3f} ({row['ci'][0]:+.3f} to"
              f" {row['ci'][1]:+.3f})",
              f"{row['p']:.3f}",
          ]
          for row in rows
      ],
  )


def _balance(runs: Mapping[str, Mapping[str, float]]) -> str:
  return markdown_table(
      ["arm", "excess", "entropy", "dead"],
      [
          [ARMS[name][0], *(f"{found[key]:.2f}" for key in _BALANCE)]
          for name, found in runs.items()
          if _BALANCE[0] in found
      ],
  )

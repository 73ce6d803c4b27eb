"""The downstream record: rows of models and baselines on one task.

OUT/results.json, with its Markdown table beside it. A record is a plain dict:

  {"task": "bot", "label": "bot", "kind": "binary", "data": "bot_train",
   "main": "auc",            the metric that rows are compared by
   "metrics": ["auc", ...],  the columns of the table
   "rows": [{"name": "event counts, forest", "group": "baseline",
             "metrics": {"auc": [0.871, 0.853, 0.889]},  value, low, high
             "difference": [-0.02, -0.03, -0.01], "p": 0.002,
                             against `best_baseline`; None for itself
             "calibration": [...], "seconds": 12.3}],
   "best_baseline": "...",
   "curve": [{"size": 64, "name": "...", "metrics": {...}}],
   "suspicions": ["..."], "notes": ["..."],
   "num_rows": 1600, "num_users": 1600, "split": "user", "folds": 5,
   "seeds": [0, 1, 2], "config_hash": "...", "run": "", "command": "..."}
"""

from collections.abc import Mapping
import json
from pathlib import Path
from typing import Any

from behavior_lm.artifacts import json_files
from behavior_lm.artifacts.evaluation import p_text
from behavior_lm.common import markdown
from behavior_lm.common.files import write_whole

NAME = "results.json"
_TITLES = {
    "auc": "AUC",
    "average_precision": "average precision",
    "f1": "F1",
    "r2": "R2",
    "mae": "MAE",
    "rmse": "RMSE",
    "mrr": "MRR",
}
NOTE = (
    "Values with their 95 % intervals: a bootstrap over users, with the fitted"
    " models given. AUC and average precision are means over folds. p is paired"
    " and two-sided, against the best baseline by the first metric. The"
    " threshold of F1 and accuracy is chosen on validation rows out of the"
    " training rows."
)


def write_downstream(folder: Path, result: Mapping[str, Any]) -> list[Path]:
  """Writes results.json and results.md; each whole or not at all."""
  folder.mkdir(parents=True, exist_ok=True)
  path = folder / NAME
  table = path.with_suffix(".md")
  write_whole(table, to_markdown(result))
  write_whole(path, json.dumps(result, indent=1) + "\n")
  return [path, table]


def read_downstream(path: Path) -> dict[str, Any]:
  """Reads a record; UserError if it is damaged."""
  result = json_files.read_object(path)
  with json_files.damage_named(str(path)):
    to_markdown(result)  # Reads every value.
  return result


def to_markdown(result: Mapping[str, Any]) -> str:
  """The record as Markdown: table, curve, calibration, what made it."""
  main = result["main"]
  head = (
      f"{result['data']}, label `{result['label']}` ({result['kind']}):"
      f" {result['num_rows']:,} rows of {result['num_users']:,} users"
  )
  how = f"split by {result['split']}"
  if result["folds"] > 1:
    how += f", {result['folds']} folds"
  how += f", seeds {', '.join(map(str, result['seeds']))}"
  header = [
      "features, model",
      *(title(name) for name in result["metrics"]),
      "against the best baseline",
      "p",
  ]
  lines = [f"# Task {result['task']}", "", f"{head}; {how}.", ""]
  lines += [markdown.table(header, (_cells(r, result) for r in result["rows"]))]
  lines += ["", f"Best baseline: {result['best_baseline']}.", "", NOTE, ""]
  if result["curve"]:
    header = ["training rows, features, model", title(main)]
    rows = [
        [f"{one['size']:,}: {one['name']}", _value(one["metrics"][main])]
        for one in result["curve"]
    ]
    lines += ["## Fewer training rows", "", markdown.table(header, rows), ""]
  best = next(
      row for row in result["rows"] if row["name"] == _best(result)
  )
  if best["calibration"]:
    rows = [
        [f"{one['predicted']:.3f}", f"{one['observed']:.3f}", one["rows"]]
        for one in best["calibration"]
    ]
    lines += [
        f"## Calibration of {best['name']}",
        "",
        markdown.table(["mean probability", "share of 1", "rows"], rows),
        "",
    ]
  if result["suspicions"]:
    lines += ["## Columns that separate the classes alone", ""]
    lines += [f"- {text}" for text in result["suspicions"]] + [""]
  lines += [f"- {note}" for note in result["notes"]]
  if result["run"]:
    lines += [f"- run: {result['run']}"]
  lines += [f"- settings: {result['config_hash']}"]
  lines += ["", "Made by:", "", f"    {result['command']}", ""]
  return "\n".join(lines)


def title(metric: str) -> str:
  """The name of a metric in a table."""
  return _TITLES.get(metric, metric.replace("_", " ").replace("top ", "top-"))


def _best(result: Mapping[str, Any]) -> str:
  """The name of the best row by the main metric."""
  main = result["main"]
  rows = result["rows"]
  return str(max(rows, key=lambda row: row["metrics"][main][0])["name"])


def _cells(row: Mapping[str, Any], result: Mapping[str, Any]) -> list[str]:
  main = result["main"]
  values = [
      _value(row["metrics"][name]) if name == main
      else f"{row['metrics'][name][0]:.3f}"
      for name in result["metrics"]
  ]
  if row["difference"] is None:
    return [row["name"], *values, "", ""]
  change, low, high = row["difference"]
  text = f"{change:+.3f} ({low:+.3f} to {high:+.3f})"
  return [row["name"], *values, text, p_text(row["p"])]


def _value(found: list[float]) -> str:
  value, low, high = found
  return f"{value:.3f} ({low:.3f} to {high:.3f})"

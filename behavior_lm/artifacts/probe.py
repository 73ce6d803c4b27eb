"""The probe record: what vectors say about labels, beside event counts.

RUN/probe.json, with its Markdown table beside it. A record is a plain dict:

  {"rows": [{"label": "bot", "features": "embedding", "auc": 0.95,
             "auc_ci": [0.93, 0.97], "f1": 0.88, "folds": 5,
             "seeds": [0, 1, 2],
             "p_vs_event_counts": 0.0004}],   None for event counts themselves
   "num_users": 240,
   "oracle": {"bot": 0.97},   the best AUC that a label allows, if known
   "notes": ["..."],
   "command": "python ..."}
"""

from collections.abc import Mapping
import json
from pathlib import Path
from typing import Any

from behavior_lm.artifacts import json_files
from behavior_lm.artifacts.evaluation import p_text
from behavior_lm.common import markdown
from behavior_lm.common.files import write_whole

HEADER = ("label", "features", "AUC", "95 % interval", "F1", "p")
NOTE = (
    "Logistic regression unless the features name a forest. Folds are"
    " stratified and by user; columns, scale, penalty and the threshold of F1"
    " are chosen on the training folds. AUC is the mean over folds and"
    " repetitions, its interval is over users. p is paired and two-sided,"
    " against event counts in a logistic regression."
)


def write_probe(path: str | Path, result: Mapping[str, Any]) -> list[Path]:
  """Writes the JSON file and, beside it, the table; each whole or not at all.

  Raises:
    UserError: if the record has another layout than this module documents.
  """
  path = Path(path)
  _check(result, str(path))
  path.parent.mkdir(parents=True, exist_ok=True)
  table = path.with_suffix(".md")
  write_whole(table, to_markdown(result))
  write_whole(path, json.dumps(result, indent=1) + "\n")
  return [path, table]


def read_probe(path: str | Path) -> dict[str, Any]:
  """Reads a record and checks its layout; UserError if it is damaged."""
  result = json_files.read_object(Path(path))
  _check(result, str(path))
  return result


def to_markdown(result: Mapping[str, Any]) -> str:
  """The table of a record as Markdown, with what made it."""
  lines = [markdown.table(HEADER, map(cells, result["rows"])), ""]
  for label, value in result["oracle"].items():
    lines += [f"Best AUC that label `{label}` allows: {value:.3f}.", ""]
  lines += [NOTE, "", *(f"- {note}" for note in result["notes"])]
  lines += ["", "Made by:", "", f"    {result['command']}", ""]
  return "\n".join(lines)


def cells(row: Mapping[str, Any]) -> list[str]:
  """One row of a record as text, in the order of `HEADER`."""
  low, high = row["auc_ci"]
  p = row["p_vs_event_counts"]
  return [
      row["label"],
      row["features"],
      f"{row['auc']:.3f}",
      f"{low:.3f} to {high:.3f}",
      f"{row['f1']:.3f}",
      "" if p is None else p_text(p),
  ]


def _check(result: Mapping[str, Any], where: str) -> None:
  with json_files.damage_named(where):
    if not result["rows"]:
      raise ValueError("'rows' is empty")
    for row in result["rows"]:
      len(row["seeds"]), int(row["folds"])
    f"{result['num_users']:,}"
    to_markdown(result)  # Reads every other value.

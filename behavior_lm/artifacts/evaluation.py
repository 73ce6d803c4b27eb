"""The evaluation record: models beside baselines, whatever was measured.

Every evaluator writes this one layout, so tables, the terminal and the report
show any of them. The evaluations of a run lie in RUN/evaluations/NAME.json,
each with its Markdown table beside it. A record is a plain dict:

  {"layout": 2,
   "evaluator": "masked_events",       what was measured, as the code names it
   "title": "Masked events",           the same for a person
   "command": "python ...",            the command that made the record
   "data": "map_204",                  the name of the dataset
   "data_fingerprint": "8b0f...",
   "split": "test",
   "settings": {"mask_rate": 0.15},    what else the values depend on
   "counts": {"targets": 181904, "events": 1212696, "users": 100},
   "columns": [{"name": "bits_per_event", "title": "bits per event",
                "format": ".3f",       a Python format specification
                "better": "low"}],     or "high"
   "main": "bits_per_event",           the column that decides
   "notes": ["..."],                   sentences that a reader should know
   "rows": [
     {"model": "bert (gate)",
      "kind": "model",                 or "baseline", or "reference": a line to
                                       know that is no fair rival of a model
      "seed": 0,                       or None
      "config_hash": "9d6ac4e72181",   or None
      "values": {"bits_per_event": 1.80},          one value per column
      "ci": {"bits_per_event": [1.76, 1.84]},      optional, 95 %
      "difference": {"baseline": "neighbours",     or None: main column of the
                     "value": -0.27,               row minus that of the best
                     "ci": [-0.29, -0.25],         fair baseline
                     "p": 0.001}}]}
"""

from collections.abc import Mapping
import json
import math
from pathlib import Path
from typing import Any

from behavior_lm.artifacts import json_files
from behavior_lm.common import markdown
from behavior_lm.common.errors import UserError
from behavior_lm.common.files import write_whole

LAYOUT = 2
FOLDER = "evaluations"  # of a run folder
KINDS = ("model", "baseline", "reference")
_TEXTS = ("evaluator", "title", "command", "data", "data_fingerprint", "split")
_COUNTS = ("targets", "events", "users")
# The resamples of a bootstrap show no smaller p value.
_SMALLEST_P = 0.001


def write_evaluation(
    folder: str | Path, name: str, result: Mapping[str, Any]
) -> list[Path]:
  """Writes FOLDER/NAME.json and FOLDER/NAME.md, each whole or not at all.

  Args:
    folder: RUN/evaluations, or any other; it is made if need be.
    name: of the files, without an ending.
    result: the record; its "layout" is set here.

  Returns:
    The paths of the JSON and the Markdown file.

  Raises:
    UserError: if the record has another layout than this module documents.
  """
  path = Path(folder) / f"{name}.json"
  record = {**result, "layout": LAYOUT}
  _check(record, str(path))
  path.parent.mkdir(parents=True, exist_ok=True)
  table = path.with_name(f"{name}.md")
  write_whole(table, to_markdown(record))
  write_whole(path, json.dumps(record, indent=1) + "\n")
  return [path, table]


def read_evaluation(path: str | Path) -> dict[str, Any]:
  """Reads a record and checks its layout.

  Raises:
    UserError: if the file cannot be read, is damaged or has another layout.
  """
  record = json_files.read_object(Path(path))
  _check(record, str(path))
  return record


def read_evaluations(run: str | Path) -> dict[str, dict[str, Any]]:
  """All evaluations of a run folder by name, in the order of the names.

  Raises:
    UserError: as `read_evaluation`; also if the run has only the file
      evaluation.json of the older layout.
  """
  paths = sorted((Path(run) / FOLDER).glob("*.json"))
  old = Path(run) / "evaluation.json"
  if not paths and old.exists():
    read_evaluation(old)
  return {path.stem: read_evaluation(path) for path in paths}


def header(result: Mapping[str, Any]) -> list[str]:
  """Names of the columns of the table, as `cells` fills them."""
  return ["model", *(c["title"] for c in result["columns"]), "difference"]


def cells(result: Mapping[str, Any], row: Mapping[str, Any]) -> list[str]:
  """One row of a record as text: model, a cell per column, difference."""
  texts = [str(row["model"])]
  for column in result["columns"]:
    value = row["values"][column["name"]]
    text = shown(column, value)
    if row["kind"] != "model" and math.isnan(value):
      text = "-"  # It was not worked out.
    interval = (row.get("ci") or {}).get(column["name"])
    if interval:
      low, high = (shown(column, limit) for limit in interval)
      text += f" ({low} to {high})"
    texts.append(text)
  gap = row.get("difference")
  if gap is None:
    return [*texts, ""]
  main = main_column(result)
  value, low, high = (
      shown(main, value, "+") for value in (gap["value"], *gap["ci"])
  )
  return [*texts, f"{value} ({low} to {high}, p {p_text(gap['p'])})"]


def main_column(result: Mapping[str, Any]) -> dict[str, Any]:
  """The column of a record that decides."""
  found: dict[str, Any]
  (found,) = (c for c in result["columns"] if c["name"] == result["main"])
  return found


def shown(column: Mapping[str, Any], value: float, sign: str = "") -> str:
  """A value of a column in the column's format; `sign` "+" shows a plus."""
  if not math.isfinite(value):
    return "not finite"
  return format(value, sign + column["format"])


def p_text(p: float) -> str:
  """A p value; small ones are "at most 0.001", the floor of a bootstrap."""
  return f"at most {_SMALLEST_P}" if p <= _SMALLEST_P else f"{p:.3f}"


def to_markdown(result: Mapping[str, Any]) -> str:
  """The table of a record as Markdown, with what made it."""
  counts = result["counts"]
  lines = [
      f"{result['title']}: {result['data']}, split `{result['split']}`,"
      f" {counts['targets']:,} targets; {counts['events']:,} events of"
      f" {counts['users']:,} users.",
      "",
      markdown.table(
          header(result), [cells(result, row) for row in result["rows"]]
      ),
      "",
      *(f"- {note}" for note in result["notes"]),
      *(f"- {name}: {value}" for name, value in result["settings"].items()),
      *("", "Made by:", "", f"    {result['command']}", ""),
  ]
  return "\n".join(lines)


def _check(record: Mapping[str, Any], where: str) -> None:
  """Raises UserError unless the record has the documented layout."""
  if "layout" not in record and "mask_rate" in record:
    raise UserError(
        f"{where}: is an evaluation of an older layout. Evaluate again with"
        " experiments/evaluate.py."
    )
  if record.get("layout") != LAYOUT:
    raise UserError(
        f"{where}: has layout {record.get('layout')!r}, this version reads"
        f" {LAYOUT}. Evaluate again with experiments/evaluate.py."
    )
  with json_files.damage_named(where):
    for name in _TEXTS:
      _expect(isinstance(record[name], str), f"{name!r} is no text")
    for name in _COUNTS:
      _expect(isinstance(record["counts"][name], int), f"{name!r} is no count")
    _expect(isinstance(record["settings"], dict), "'settings' is no object")
    _expect(
        all(isinstance(note, str) for note in record["notes"]),
        "'notes' holds something else than texts",
    )
    for column in record["columns"]:
      _expect(isinstance(column["title"], str), "a 'title' is no text")
      _expect(
          column["better"] in ("low", "high"),
          f"'better' is {column['better']!r}, neither low nor high",
      )
      shown(column, 0.5, "+")
    names = [column["name"] for column in record["columns"]]
    _expect(
        len(set(names)) == len(names) and record["main"] in names,
        f"'main' is {record['main']!r}, the columns are {names}",
    )
    _expect(bool(record["rows"]), "'rows' is empty")
    for place, row in enumerate(record["rows"]):
      with json_files.damage_named(f"{where}, row {place}"):
        _check_row(row, names)


def _check_row(row: Mapping[str, Any], names: list[str]) -> None:
  _expect(isinstance(row["model"], str), "'model' is no text")
  _expect(row["kind"] in KINDS, f"'kind' is {row['kind']!r}, not in {KINDS}")
  _expect(isinstance(row["seed"], int | None), "'seed' is no number")
  _expect(isinstance(row["config_hash"], str | None), "'config_hash'")
  for name in names:
    float(row["values"][name])
  for interval in (row.get("ci") or {}).values():
    _check_interval(interval)
  gap = row["difference"]
  if gap is not None:
    _expect(isinstance(gap["baseline"], str), "'baseline' is no text")
    _check_interval(gap["ci"])
    float(gap["value"])
    float(gap["p"])


def _check_interval(limits: Any) -> None:
  low, high = limits
  float(low)
  float(high)


def _expect(condition: bool, text: str) -> None:
  if not condition:
    raise ValueError(text)

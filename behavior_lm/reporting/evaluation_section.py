"""The section about what was measured, whatever the evaluator."""

from collections.abc import Mapping
import math
from typing import Any

from behavior_lm.artifacts import evaluation
from behavior_lm.reporting import markup
from behavior_lm.reporting import plots
from behavior_lm.reporting.comparisons import Point
from behavior_lm.reporting.comparisons import points_figure
from behavior_lm.reporting.markup import cell
from behavior_lm.reporting.markup import Markup
from behavior_lm.reporting.markup import tag
from behavior_lm.reporting.page import figure_grid
from behavior_lm.reporting.page import Section

_KINDS = {
    "baseline": "baseline",
    "reference": "reference, no fair rival of a model",
}


def evaluation_section(
    evaluations: Mapping[str, Mapping[str, Any]],
    run_name: str,
    config_hash: str,
) -> Section:
  """A table and a figure per evaluation of the run."""
  parts = [
      _one(name, record, config_hash) for name, record in evaluations.items()
  ]
  body = markup.join(*(part for part, _ in parts))
  if not parts:
    body = markup.missing(
        "No evaluation yet. To score this run beside its baselines:",
        f"python experiments/evaluate.py --runs runs/{run_name} --data DATA",
    )
  figures = [figure for _, figure in parts]
  return Section("evaluation", "Evaluation", body, figures)


def best_model(record: Mapping[str, Any]) -> dict[str, Any]:
  """The row of the best model in the main column; {} without a model."""
  models = (row for row in _sorted(record) if row["kind"] == "model")
  return next(models, {})


def _one(
    name: str, record: Mapping[str, Any], config_hash: str
) -> tuple[Markup, plots.Figure]:
  main, counts = evaluation.main_column(record), record["counts"]
  figure = _figure(name, record)
  hashes = [row["config_hash"] for row in record["rows"] if row["config_hash"]]
  settings = "".join(f", {k} {v}" for k, v in record["settings"].items())
  body = markup.join(
      tag("h3", record["title"]),
      markup.paragraph(
          f"{record['data']}, split {record['split']}: {counts['targets']:,}"
          f" targets; {counts['events']:,} events of {counts['users']:,}"
          f" users{settings}."
      ),
      markup.paragraph(
          f"This table was made for another config: {', '.join(hashes)}, not"
          f" {config_hash}. Evaluate again.",
          class_="notice",
      )
      if hashes and config_hash not in hashes
      else None,
      _table(record),
      markup.paragraph(
          f"The column to compare is {main['title']}. A difference is in this"
          f" column, to the best baseline; {_direction(main)} zero is better."
          " Where its 95 % interval holds zero, neither is shown to be better."
          " Bold is the best value of a column, references left out.",
          class_="note",
      ),
      *(markup.paragraph(note, class_="note") for note in record["notes"]),
      figure_grid([figure]),
  )
  return body, figure


def _table(record: Mapping[str, Any]) -> Markup:
  rivals = [row for row in record["rows"] if row["kind"] != "reference"]
  best = {}
  for column in record["columns"]:
    values = [row["values"][column["name"]] for row in rivals]
    finite = [value for value in values if math.isfinite(value)]
    choose = min if column["better"] == "low" else max
    best[column["name"]] = choose(finite, default=None)
  main = evaluation.main_column(record)
  rows = []
  for row in _sorted(record):
    seed = None if row["seed"] is None else f"seed {row['seed']}"
    cells = [cell(row["model"], _KINDS.get(row["kind"]), seed)]
    for column in record["columns"]:
      value = row["values"][column["name"]]
      cells.append(
          cell(
              evaluation.shown(column, value),
              _interval(column, (row.get("ci") or {}).get(column["name"])),
              bold=row in rivals and value == best[column["name"]],
          )
      )
    rows.append(cells + _difference(main, row["difference"]))
  titles = [column["title"] for column in record["columns"]]
  return markup.table(
      ["model", *titles, "difference to best baseline", "p", "verdict"], rows
  )


def _difference(
    main: Mapping[str, Any], gap: Mapping[str, Any] | None
) -> list[Markup]:
  """Difference, p and verdict."""
  if gap is None:
    return [markup.escape(markup.NONE)] * 3
  low, high = gap["ci"]
  if low <= 0 <= high:
    verdict = tag("span", "= no clear difference")
  elif (high < 0) == (main["better"] == "low"):
    verdict = tag("span", "▲ better", class_="better")
  else:
    verdict = tag("span", "▼ worse", class_="worse")
  return [
      cell(
          evaluation.shown(main, gap["value"], "+"),
          _interval(main, gap["ci"], "+"),
          f"to {gap['baseline']}",
      ),
      markup.escape(evaluation.p_text(gap["p"])),
      verdict,
  ]


def _interval(column: Mapping[str, Any], limits: Any, sign: str = "") -> str:
  if not limits:
    return ""
  low, high = (evaluation.shown(column, limit, sign) for limit in limits)
  return f"{low} to {high}"


def _figure(name: str, record: Mapping[str, Any]) -> plots.Figure:
  main = evaluation.main_column(record)
  points = []
  for row in _sorted(record):
    is_model = row["kind"] == "model"
    value = row["values"][main["name"]]
    seed = "" if row["seed"] is None else f", seed {row['seed']}"
    points.append(
        Point(
            row["model"] + seed,
            value,
            evaluation.shown(main, value),
            (row.get("ci") or {}).get(main["name"]),
            "blue" if is_model else "muted",
            "o" if is_model else "s",
        )
    )
  baselines = [
      row["values"][main["name"]]
      for row in _sorted(record)
      if row["kind"] == "baseline"
  ]
  return points_figure(
      plots.file_name("evaluation", name),
      f"{record['title']}: {main['title']}",
      f"{'Lower' if main['better'] == 'low' else 'Higher'} is better. Bars are"
      " 95 % intervals, circles are models, squares are baselines and"
      " references, the dashed line is the best baseline. An arrow stands for"
      " a value far outside of the axis.",
      points,
      main["title"],
      baselines[0] if baselines else None,
  )


def _sorted(record: Mapping[str, Any]) -> list[dict[str, Any]]:
  """Rows, the best in the main column first, those without a number last."""
  main = evaluation.main_column(record)
  sign = 1 if main["better"] == "low" else -1

  def key(row: Mapping[str, Any]) -> float:
    value = row["values"][main["name"]]
    return sign * value if math.isfinite(value) else math.inf

  return sorted(record["rows"], key=key)


def _direction(column: Mapping[str, Any]) -> str:
  return "below" if column["better"] == "low" else "above"

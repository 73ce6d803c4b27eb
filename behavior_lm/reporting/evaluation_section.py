"""The section about what was measured, whatever the evaluator."""

from collections.abc import Mapping
import math
from typing import Any

from behavior_lm.artifacts import evaluation
from behavior_lm.reporting import markup
from behavior_lm.reporting import plots
from behavior_lm.reporting.comparisons import Point
from behavior_lm.reporting.comparisons import points_figure
from behavior_lm.reporting.markup import Markup
from behavior_lm.reporting.markup import tag
from behavior_lm.reporting.page import figure_grid
from behavior_lm.reporting.page import Section


def evaluation_section(
    evaluations: Mapping[str, Mapping[str, Any]],
    run_name: str,
    config_hash: str,
) -> Section:
  """A table and a figure per evaluation of the run."""
  if not evaluations:
    missing = markup.missing(
        "No evaluation yet. To score this run beside its baselines:",
        f"python experiments/evaluate.py --run runs/{run_name} --data DATA",
    )
    return Section("evaluation", "Evaluation", missing)
  figures = [_figure(name, record) for name, record in evaluations.items()]
  parts = [
      markup.join(
          tag("h3", record["title"]),
          _facts(record, config_hash),
          _table(record),
          *(markup.paragraph(note, class_="note") for note in record["notes"]),
          figure_grid([figure]),
      )
      for record, figure in zip(evaluations.values(), figures, strict=True)
  ]
  note = markup.paragraph(
      "Bold is the best value of a column, references left out. A difference"
      " is in the column by which rows are sorted, to the best baseline. Where"
      " its 95 % interval holds zero, neither is shown to be better.",
      class_="note",
  )
  return Section("evaluation", "Evaluation", markup.join(*parts, note), figures)


def sorted_rows(record: Mapping[str, Any]) -> list[dict[str, Any]]:
  """Rows, the best in the main column first, those without a number last."""
  main = evaluation.main_column(record)
  sign = 1 if main["better"] == "low" else -1

  def key(row: Mapping[str, Any]) -> float:
    value = row["values"][main["name"]]
    return sign * value if math.isfinite(value) else math.inf

  return sorted(record["rows"], key=key)


def _facts(record: Mapping[str, Any], config_hash: str) -> Markup:
  counts = record["counts"]
  settings = "".join(f", {k} {v}" for k, v in record["settings"].items())
  hashes = [row["config_hash"] for row in record["rows"] if row["config_hash"]]
  other = None
  if hashes and config_hash not in hashes:
    other = markup.paragraph(
        f"This table was made for another config: {', '.join(hashes)}, not"
        f" {config_hash}. Evaluate again.",
        class_="notice",
    )
  return markup.join(
      markup.paragraph(
          f"{record['data']}, split {record['split']}: {counts['targets']:,}"
          f" targets; {counts['events']:,} events of {counts['users']:,}"
          f" users{settings}."
      ),
      other,
  )


def _table(record: Mapping[str, Any]) -> Markup:
  main, best = evaluation.main_column(record), {}
  rivals = [row for row in record["rows"] if row["kind"] != "reference"]
  for column in record["columns"]:
    values = [row["values"][column["name"]] for row in rivals]
    choose = min if column["better"] == "low" else max
    finite = filter(math.isfinite, values)
    best[column["name"]] = choose(finite, default=None)
  rows = []
  for row in sorted_rows(record):
    kind = "" if row["kind"] == "model" else row["kind"]
    cells = [markup.cell(_name(row), kind)]
    for column in record["columns"]:
      value = row["values"][column["name"]]
      limits = (row.get("ci") or {}).get(column["name"], ())
      is_best = row in rivals and value == best[column["name"]]
      text = evaluation.shown(column, value)
      cells.append(markup.cell(text, _interval(column, limits), bold=is_best))
    rows.append(cells + _difference(main, row["difference"]))
  titles = [column["title"] for column in record["columns"]]
  return markup.table(
      ["model", *titles, "difference to best baseline", "p", "verdict"], rows
  )


def _difference(
    main: Mapping[str, Any], gap: Mapping[str, Any] | None
) -> list[Markup]:
  """Cells of difference, p and verdict."""
  if gap is None:
    return [markup.escape(markup.NONE)] * 3
  low, high = gap["ci"]
  if low <= 0 <= high:
    verdict = tag("span", "= no clear difference")
  elif (high < 0) == (main["better"] == "low"):
    verdict = tag("span", "▲ better", class_="better")
  else:
    verdict = tag("span", "▼ worse", class_="worse")
  value = evaluation.shown(main, gap["value"], "+")
  interval = _interval(main, gap["ci"], "+")
  return [
      markup.cell(value, interval, f"to {gap['baseline']}"),
      markup.escape(evaluation.p_text(gap["p"])),
      verdict,
  ]


def _interval(column: Mapping[str, Any], limits: Any, sign: str = "") -> str:
  return " to ".join(evaluation.shown(column, one, sign) for one in limits)


def _name(row: Mapping[str, Any]) -> str:
  return row["model"] + ("" if row["seed"] is None else f", seed {row['seed']}")


def _figure(name: str, record: Mapping[str, Any]) -> plots.Figure:
  main, rows = evaluation.main_column(record), sorted_rows(record)
  value = lambda row: row["values"][main["name"]]
  points = [
      Point(
          _name(row),
          value(row),
          evaluation.shown(main, value(row)),
          (row.get("ci") or {}).get(main["name"]),
          *(("blue", "o") if row["kind"] == "model" else ("muted", "s")),
      )
      for row in rows
  ]
  best = [value(row) for row in rows if row["kind"] == "baseline"]
  return points_figure(
      plots.file_name("evaluation", name),
      f"{record['title']}: {main['title']}, {main['better']} is better",
      "Bars are 95 % intervals, circles are models, squares are baselines and"
      " references, the dashed line is the best baseline. An arrow stands for"
      " a value far outside of the axis.",
      points,
      main["title"],
      best[0] if best else None,
  )

"""A sweep as Markdown, as a LaTeX table and as a figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from behavior_lm.artifacts.evaluation import p_text
from behavior_lm.common import markdown
from behavior_lm.common.files import whole_file
from experiments.studies.sweep.sweep_table import MAIN

_HEADER = (
    "row",
    "seeds",
    "bits per event (95 % over users)",
    "spread of seeds",
    "perplexity",
    "to the control (95 %; p, p by Holm)",
    "to the best baseline",
    "steps",
    "minutes",
    "parameters",
    "hidden in training (range over the log)",
)


def to_markdown(result: Mapping[str, Any]) -> str:
  """The whole page."""
  told: list[dict[str, Any]] = next(
      (row["probes"] for row in result["rows"] if _told(row)), []
  )
  header = (*_HEADER, *(f"probe {one['label']}: AUC (95 %)" for one in told))
  lines = [
      f"# Sweep {result['name']}",
      "",
      result["hypothesis"],
      "",
      f"{result['title']}: {result['data']}, split `{result['split']}`. Budget:"
      f" {result['budget']}. Control: {result['control']}.",
      "",
      markdown.table(header, [_cells(row, told) for row in result["rows"]]),
      "",
  ]
  for one in told:
    lines.append(
        f"- Probe {one['label']}: a logistic regression on the vectors of"
        f" {one['num_users']:,} users of {one['data']}, 5 folds, 3 seeds. On"
        f" event counts instead it has an AUC of {one['counts_auc']:.3f}."
    )
  for name, reason in result["failed"].items():
    lines.append(f"- {name} failed: {reason}")
  lines += [f"- {name}: {v}" for name, v in result["settings"].items()]
  lines += ["", "Made by:", "", f"    {result['command']}", ""]
  return "\n".join(lines)


def to_latex(result: Mapping[str, Any]) -> str:
  """A table for booktabs: models, a rule, baselines."""
  escape = lambda text: text.replace("\\", r"\textbackslash{}").translate(
      str.maketrans({c: "\\" + c for c in "_%&#$"})
  )
  lines = [
      r"\begin{tabular}{lrrrr}",
      r"\toprule",
      r"model & seeds & bits per event & $\Delta$ control & $p$ \\",
      r"\midrule",
  ]
  kind = "model"
  for row in result["rows"]:
    if row["kind"] != kind:
      lines.append(r"\midrule")
      kind = row["kind"]
    low, high = row.get("ci", {}).get(MAIN, (None, None))
    bits = f"{row['values'][MAIN]:.3f}"
    if low is not None:
      bits += rf" \scriptsize [{low:.3f}, {high:.3f}]"
    change, p = "", ""
    if row.get("to_control"):
      change = f"{row['to_control']['value']:+.3f}"
      p = f"{row['to_control']['p_holm']:.3f}"
    seeds = str(len(row["seeds"])) if kind == "model" else ""
    lines.append(
        " & ".join((escape(row["model"]), seeds, bits, change, p)) + r" \\"
    )
  return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def draw(result: Mapping[str, Any], out: Path) -> list[Path]:
  """Bits with intervals, as OUT.png and OUT.pdf; readable in grey."""
  rows = [row for row in result["rows"] if row["model"] != "unigram"]
  figure = Figure(figsize=(7, 0.9 + 0.35 * len(rows)), layout="constrained")
  axes = figure.subplots()
  for place, row in enumerate(rows):
    bits = row["values"][MAIN]
    low, high = row.get("ci", {}).get(MAIN, [bits, bits])
    is_model = row["kind"] == "model"
    colour = "#0072b2" if is_model else "0.4"
    axes.plot([low, high], [place, place], color=colour, linewidth=1.5)
    axes.plot(bits, place, "o" if is_model else "s", color=colour)
  axes.set_yticks(range(len(rows)), [row["model"] for row in rows])
  axes.invert_yaxis()
  axes.set_xlabel("bits per raw event (95 % over users)")
  axes.grid(alpha=0.3, axis="x")
  paths = []
  for ending in (".png", ".pdf"):
    path = out.with_name(out.name + ending)
    with whole_file(path) as temporary:
      # Without a date the same result gives the same bytes.
      metadata = {"CreationDate": None} if ending == ".pdf" else None
      figure.savefig(
          temporary, format=ending[1:], dpi=160, metadata=metadata
      )
    paths.append(path)
  return paths


def _told(row: Mapping[str, Any]) -> bool:
  return row["kind"] == "model" and bool(row["probes"])


def _cells(
    row: Mapping[str, Any], told: Sequence[Mapping[str, Any]]
) -> list[str]:
  low, high = row.get("ci", {}).get(MAIN, (None, None))
  bits = f"{row['values'][MAIN]:.3f}"
  if low is not None:
    bits += f" ({low:.3f} to {high:.3f})"
  perplexity = f"{row['values']['perplexity']:.2f}"
  if row["kind"] != "model":
    return [row["model"], "", bits, "", perplexity, *[""] * (6 + len(told))]
  spread = "" if row["spread"] is None else f"{row['spread']:.3f}"
  cost = row["cost"]
  return [
      row["model"],
      ", ".join(map(str, row["seeds"])),
      bits,
      spread,
      perplexity,
      _difference(row["to_control"]),
      _difference(row["difference"]),
      f"{cost['steps']:,.0f}",
      f"{cost['minutes']:.1f}",
      f"{cost['num_params']:,.0f}",
      _share(row["masked_share"]),
      *(map(_auc, row["probes"]) if row["probes"] else [""] * len(told)),
  ]


def _share(found: Sequence[float] | None) -> str:
  if found is None:
    return ""
  mean, least, most = found
  return f"{mean:.1%} ({least:.1%} to {most:.1%})"


def _auc(found: Mapping[str, Any]) -> str:
  low, high = found["auc_ci"]
  return f"{found['auc']:.3f} ({low:.3f} to {high:.3f})"


def _difference(gap: Mapping[str, Any] | None) -> str:
  if not gap:
    return ""
  low, high = gap["ci"]
  text = f"{gap['value']:+.3f} ({low:+.3f} to {high:+.3f}; p {p_text(gap['p'])}"
  if "p_holm" in gap:
    text += f", {p_text(gap['p_holm'])}"
  return text + ")"

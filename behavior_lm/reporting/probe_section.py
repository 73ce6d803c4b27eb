"""The section about what the vectors say of labels."""

from collections.abc import Mapping
from typing import Any

from behavior_lm.artifacts.evaluation import p_text
from behavior_lm.reporting import markup
from behavior_lm.reporting import plots
from behavior_lm.reporting.comparisons import Point
from behavior_lm.reporting.comparisons import points_figure
from behavior_lm.reporting.page import figure_grid
from behavior_lm.reporting.page import Section

_HEADER = (
    "label", "features", "AUC", "F1", "p against event counts", "AUC ceiling",
    "folds × seeds",
)


def probe_section(probe: Mapping[str, Any] | None, run_name: str) -> Section:
  """A table and a figure of labels and features."""
  if probe is None:
    vectors = f"runs/{run_name}/embeddings/users.parquet"
    missing = markup.missing(
        "No probe yet. To see what the vectors say about a label, beside plain"
        " event counts:",
        f"python experiments/embed.py --run runs/{run_name} --data DATA"
        f" --unit user --out {vectors}",
        f"python experiments/probe.py --embeddings {vectors} --data DATA"
        f" --labels labels.csv --out runs/{run_name}/probe.json",
    )
    return Section("probe", "Probe", missing)
  labels = list(dict.fromkeys(row["label"] for row in probe["rows"]))
  best = {
      (label, name): max(
          row[name] for row in probe["rows"] if row["label"] == label
      )
      for label in labels
      for name in ("auc", "f1")
  }
  cells, points = [], []
  for row in sorted(
      probe["rows"], key=lambda row: (labels.index(row["label"]), -row["auc"])
  ):
    label, p = row["label"], row["p_vs_event_counts"]
    low, high = row["auc_ci"]
    ceiling = probe["oracle"].get(label)
    bold = lambda name, row=row: row[name] == best[row["label"], name]
    auc, f1 = f"{row['auc']:.3f}", f"{row['f1']:.3f}"
    cells.append([
        label,
        row["features"],
        markup.cell(auc, f"{low:.3f} to {high:.3f}", bold=bold("auc")),
        markup.cell(f1, bold=bold("f1")),
        markup.NONE if p is None else p_text(p),
        markup.NONE if ceiling is None else f"{ceiling:.3f}",
        f"{row['folds']} × {len(row['seeds'])}",
    ])
    place = labels.index(label) % 4
    name = f"{label}: {row['features']}"
    look = plots.SERIES[place], plots.MARKERS[place]
    points.append(Point(name, row["auc"], auc, row["auc_ci"], *look))
  figure = points_figure(
      "probe_auc",
      "Area under the ROC curve",
      "The chance that a user with the label scores higher than one without:"
      " 0.5 (dashed) is guessing, 1 is perfect. Bars are 95 % intervals.",
      points,
      "AUC",
      0.5,
  )
  body = markup.join(
      markup.paragraph(
          "A plain classifier predicts each label from fixed features of"
          f" {probe['num_users']:,} users, who are in training folds or in test"
          " folds. The model that made the vectors never saw a label. The"
          " ceiling is what the hidden truth itself reaches where it is known."
      ),
      markup.table(_HEADER, cells, text_columns=2),
      figure_grid([figure]),
  )
  return Section("probe", "Probe", body, [figure])

"""The section about what the vectors say of labels."""

from collections.abc import Mapping
from typing import Any

from behavior_lm.artifacts.evaluation import p_text
from behavior_lm.reporting import markup
from behavior_lm.reporting import plots
from behavior_lm.reporting.comparisons import Point
from behavior_lm.reporting.comparisons import points_figure
from behavior_lm.reporting.markup import cell
from behavior_lm.reporting.page import figure_grid
from behavior_lm.reporting.page import Section


def probe_section(probe: Mapping[str, Any] | None, run_name: str) -> Section:
  """A table and a figure of labels and features."""
  if probe is None:
    vectors = f"runs/{run_name}/embeddings/users.parquet"
    body = markup.missing(
        "No probe yet. To see what the vectors say about a label, beside plain"
        " event counts:",
        f"python experiments/embed.py --run runs/{run_name} --data DATA"
        f" --unit user --out {vectors}",
        f"python experiments/probe.py --embeddings {vectors} --data DATA"
        f" --labels labels.csv --out runs/{run_name}/probe.json",
    )
    return Section("probe", "Probe", body)
  by_label: dict[str, list[dict[str, Any]]] = {}
  for row in sorted(probe["rows"], key=lambda row: -row["auc"]):
    by_label.setdefault(row["label"], []).append(row)
  labels = list(dict.fromkeys(row["label"] for row in probe["rows"]))
  rows, points = [], []
  for place, label in enumerate(labels):
    best = {
        name: max(row[name] for row in by_label[label])
        for name in ("auc", "f1")
    }
    for row in by_label[label]:
      low, high = row["auc_ci"]
      p, ceiling = row["p_vs_event_counts"], probe["oracle"].get(label)
      auc = f"{row['auc']:.3f}"
      rows.append([
          label,
          row["features"],
          cell(auc, f"{low:.3f} to {high:.3f}", bold=row["auc"] == best["auc"]),
          cell(f"{row['f1']:.3f}", bold=row["f1"] == best["f1"]),
          markup.NONE if p is None else p_text(p),
          markup.NONE if ceiling is None else f"{ceiling:.3f}",
          f"{row['folds']} × {len(row['seeds'])}",
      ])
      points.append(
          Point(
              f"{label}: {row['features']}",
              row["auc"],
              auc,
              row["auc_ci"],
              plots.SERIES[place % 4],
              plots.MARKERS[place % 4],
          )
      )
  figure = points_figure(
      "probe_auc",
      "Area under the ROC curve",
      "The dashed line, 0.5, is guessing and 1 is perfect. Bars are 95 %"
      " intervals.",
      points,
      "AUC",
      0.5,
  )
  body = markup.join(
      markup.paragraph(
          "A plain classifier (logistic regression unless another is named)"
          " predicts each label from fixed features of"
          f" {probe['num_users']:,} users. The model that made the vectors"
          " never saw a label, and no user is in training and test folds at"
          " once."
      ),
      markup.table(
          [
              "label", "features", "AUC", "F1", "p against event counts",
              "AUC ceiling", "folds × seeds",
          ],
          rows,
          text_columns=2,
      ),
      markup.paragraph(
          "AUC is the chance that a user with the label scores higher than one"
          " without. The ceiling is what the hidden truth itself reaches where"
          " it is known. The best features of each label are bold.",
          class_="note",
      ),
      figure_grid([figure]),
  )
  return Section("probe", "Probe", body, [figure])

"""What a sample table holds and what was set aside, in numbers."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from behavior_lm.data.samples.sample_columns import LABEL
from behavior_lm.data.samples.sample_columns import MULTI_LABEL
from behavior_lm.data.samples.sample_columns import REGRESSION
from behavior_lm.data.samples.sample_columns import SampleColumns
from behavior_lm.logs import schema
from behavior_lm.logs.reports import report_text

_MOST_FREQUENT = 10
# Counts of a summary: what was counted, and what was done.
_RULES = {
    "rows": ("rows of the source", ""),
    "contradicting_rows": (
        "rows with contradicting labels",
        "quarantined, all of them",
    ),
    "duplicate_rows": ("rows equal to another one", "merged into it"),
    "rows_with_other_features": (
        "rows that differ from another one in features alone",
        "kept",
    ),
    "unknown_users": ("users that the dataset does not have", ""),
    "unknown_user_rows": ("rows of such users", "no history"),
    "rows_before_first_event": (
        "rows not later than the first event of their user",
        "no history",
    ),
    "users_without_history": ("users without any history", ""),
    "rows_without_history": ("rows without any history", ""),
    "dropped_without_history": ("rows without any history", "dropped"),
    "tied_rows": ("rows at the same time as another one of the user", "kept"),
    "users_without_rows": ("users of the dataset without a row", "left out"),
    "samples": ("samples", "kept"),
    "users": ("users of the samples", ""),
}


def describe(frame: pl.DataFrame, columns: SampleColumns) -> dict[str, Any]:
  """Counts samples, users and the values of labels, as JSON."""
  labels = {}
  for name, kind in columns.labels.items():
    values = frame[LABEL + name]
    found: dict[str, Any] = {"kind": kind, "missing": values.null_count()}
    values = values.drop_nulls()
    if kind == REGRESSION:
      found |= {"min": values.min(), "mean": values.mean(), "max": values.max()}
    else:
      if kind == MULTI_LABEL:
        values = values.explode().drop_nulls()
      counts = (
          values.cast(pl.String).alias("value").value_counts()
          .sort("count", "value", descending=[True, False])
      )
      found |= {
          "classes": counts.height,
          "most_frequent": dict(counts.head(_MOST_FREQUENT).iter_rows()),
      }
    labels[name] = found
  return {
      "samples": frame.height,
      "users": frame[schema.USER_ID].n_unique(),
      "labels": labels,
  }


def to_markdown(summary: Mapping[str, Any]) -> str:
  """Two Markdown tables: what happened to the rows, and the labels."""
  rows = [
      [what, f"{summary[name]:,}", rule]
      for name, (what, rule) in _RULES.items()
      if name in summary
  ]
  rows[1:1] = [
      [f"rows with: {reason}", f"{count:,}", "quarantined"]
      for reason, count in summary.get("quarantined", {}).items()
  ]
  labels = [
      [name, found["kind"], f"{found['missing']:,}", _values(found)]
      for name, found in summary["labels"].items()
  ]
  parts = [report_text.table(["what", "count", "rule"], rows)]
  if "times" in summary:
    parts.append(f"Times of the rows: {summary['times']}.")
  if labels:
    parts.append(
        report_text.table(["label", "kind", "missing", "values"], labels)
    )
  return "\n\n".join(parts)


def _values(found: Mapping[str, Any]) -> str:
  if found["kind"] == REGRESSION:
    if found["mean"] is None:
      return "none"
    return f"{found['min']:g} to {found['max']:g}, mean {found['mean']:g}"
  counts = found["most_frequent"]
  shown = ", ".join(f"{value}: {count:,}" for value, count in counts.items())
  more = found["classes"] - len(counts)
  return shown + (f" and {more:,} more classes" if more else "")

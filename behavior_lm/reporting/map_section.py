"""The section with the map of the vectors, coloured by labels and length."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from behavior_lm.reporting import markup
from behavior_lm.reporting import plots
from behavior_lm.reporting.page import figure_grid
from behavior_lm.reporting.page import Section
from behavior_lm.reporting.plots import COLOURS
from behavior_lm.reporting.projection import project
from behavior_lm.reporting.projection import Projection
from behavior_lm.reporting.vectors import Vectors

MOST_LABELS = 8  # maps that a person compares
UNKNOWN = -1


def map_section(
    run_name: str,
    config_hash: str,
    vectors: Vectors | None = None,
    labels: pl.DataFrame | None = None,
) -> Section:
  """What the vectors look like from above.

  Args:
    run_name: of the run folder.
    config_hash: of the run.
    vectors: to map, if there are any.
    labels: user_id, one row per user, and a 0/1 column per label.
  """
  where, title = f"--run runs/{run_name}", "Map of the embeddings"
  embed = f"python experiments/embed.py {where} --data DATA --unit user"
  colour = f"python experiments/report.py {where} --labels labels.csv"
  if vectors is None:
    what = "No embeddings yet. To make a vector of every user, and its map:"
    return Section("map", title, markup.missing(what, embed, colour))
  found = project(vectors.values)
  if found is None:
    few = f"{vectors.file} holds fewer than five different vectors."
    return Section("map", title, markup.paragraph(few))
  values = {} if labels is None else label_values(labels, vectors.users)
  figures = map_figures(found.points, vectors.num_events, values)
  made, other, to_colour = vectors.settings.get("config_hash"), None, None
  if made not in (None, config_hash):
    other = markup.paragraph(
        f"These vectors were made with another config: {made}, not"
        f" {config_hash}. Embed again.",
        class_="notice",
    )
  if not values:
    what = "To colour the map, give a table of user_id and 0/1 columns:"
    to_colour = markup.missing(what, colour)
  facts = _facts(vectors, found, len(values))
  body = markup.join(other, facts, figure_grid(figures), to_colour)
  return Section("map", title, body, figures)


def _facts(
    vectors: Vectors, found: Projection, num_labels: int
) -> markup.Markup:
  shown = f"{len(vectors.values):,} of {vectors.total_rows:,}"
  settings = [
      (name, str(vectors.settings[name]))
      for name in ("unit", "pooling", "layer", "step")
      if name in vectors.settings
  ]
  return markup.join(
      markup.definitions([
          ("file", vectors.file),
          ("vectors shown, by a fixed seed", shown),
          ("users", f"{len(vectors.all_users):,}"),
          ("numbers per vector", f"{vectors.values.shape[1]:,}"),
          *settings,
          ("labels shown", f"{min(num_labels, MOST_LABELS)} of {num_labels}"),
          ("principal components", f"{found.components}"),
          ("variance in them", markup.percent(found.kept, 0)),
          ("perplexity of t-SNE", f"{found.perplexity:.3g}"),
      ]),
      markup.paragraph(
          "Neighbours on the map are alike; distances between clusters, their"
          " sizes and directions mean nothing.",
          class_="note",
      ),
  )


def label_values(
    table: pl.DataFrame, users: Sequence[str]
) -> dict[str, np.ndarray]:
  """The labels of each of `users`.

  Args:
    table: user_id, one row per user, and a 0/1 column per label, null for none.
    users: [n], a user may come several times.

  Returns:
    {label: [n] int64 of 0, 1 and UNKNOWN}.
  """
  wanted = pl.DataFrame({"user_id": users}, schema={"user_id": pl.String})
  joined = wanted.join(table, on="user_id", how="left", maintain_order="left")
  return {
      name: joined[name].cast(pl.Int64).fill_null(UNKNOWN).to_numpy()
      for name in joined.columns
      if name != "user_id"
  }


def map_figures(
    points: np.ndarray, num_events: np.ndarray, labels: dict[str, np.ndarray]
) -> list[plots.Figure]:
  """One map per label, at most MOST_LABELS, then one by number of events.

  Args:
    points: [n, 2].
    num_events: [n].
    labels: see `label_values`.
  """
  figures = []
  for place, (label, values) in enumerate(labels.items(), 1):
    name = plots.label_text(label)
    styles = {
        UNKNOWN: ("faint", ".", "no label"),
        0: ("blue", "o", f"{name} = 0"),
        1: ("orange", "^", f"{name} = 1"),
    }
    # The rarer class lies on top, or the other would hide it.
    order = sorted((0, 1), key=lambda value: -(values == value).sum())
    figures.append(
        _map(
            plots.file_name("embeddings", place, label),
            f"Map by {name}",
            "The model that made the vectors never saw a label.",
            points,
            [(*styles[one], values == one) for one in (UNKNOWN, *order)],
        )
    )
  edges = np.unique(np.quantile(num_events, np.linspace(0, 1, 6)).round())
  classes = np.searchsorted(edges[1:-1], num_events, side="right")
  groups = []
  for one in np.unique(classes):
    inside = num_events[classes == one]
    text = f"{inside.min():,} to {inside.max():,} events"
    groups.append((f"ramp{one + 1}", "o", text, classes == one))
  by_length = _map(
      "embeddings_num_events",
      "Map by number of events",
      "Five classes of equal size. A pattern in another map that repeats this"
      " one may be nothing but length.",
      points,
      groups,
  )
  return [*figures[:MOST_LABELS], by_length]


def _map(
    name: str,
    title: str,
    caption: str,
    points: np.ndarray,
    groups: list[tuple[str, str, str, np.ndarray]],
) -> plots.Figure:
  """Points by group: colour, marker, text, and which points, [n] bool."""

  def paint(axes: plots.Axes) -> None:
    for colour, marker, text, chosen in groups:
      if chosen.any():
        axes.plot(
            *points[chosen].T,
            marker,
            color=COLOURS[colour],
            markersize=3.4 if len(points) > 300 else 4.5,
            markeredgewidth=0,
            alpha=0.8,
            label=f"{text} ({chosen.sum():,})",
        )
    axes.set_aspect("equal", adjustable="datalim")
    # The axes of t-SNE have no unit and no direction.
    axes.set_axis_off()
    axes.figure.legend(loc="outside lower center", ncols=2, markerscale=1.8)

  return plots.draw(name, title, caption, paint, (4.5, 4.5))

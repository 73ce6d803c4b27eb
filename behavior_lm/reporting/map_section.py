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
from behavior_lm.reporting.vectors import Vectors

_WIDTH = 4.5  # inches
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
  embed = (
      f"python experiments/embed.py --run runs/{run_name} --data DATA"
      " --unit user"
  )
  colour = (
      f"python experiments/report.py --run runs/{run_name} --labels labels.csv"
  )
  if vectors is None:
    body = markup.missing(
        "No embeddings yet. To make a vector of every user, then a map coloured"
        " by labels (a table of user_id and 0/1 columns):",
        embed,
        colour,
    )
    return Section("map", "Map of the embeddings", body)
  found = project(vectors.values)
  if found is None:
    body = markup.paragraph(
        f"{vectors.file} holds fewer than five different vectors: too few for a"
        " map."
    )
    return Section("map", "Map of the embeddings", body)
  values = {} if labels is None else label_values(labels, vectors.users)
  figures = map_figures(found.points, vectors.num_events, values)
  made = vectors.settings.get("config_hash", config_hash)
  body = markup.join(
      markup.paragraph(
          f"These vectors were made with another config: {made}, not"
          f" {config_hash}. Embed again.",
          class_="notice",
      )
      if made != config_hash
      else None,
      markup.paragraph(
          f"{_facts(vectors)} They were reduced to {found.components} principal"
          f" components ({markup.percent(found.kept, 0)} of the variance), then"
          f" laid out by t-SNE (perplexity {found.perplexity:.3g}, fixed seed)."
          " Neighbours on the map are alike; distances between clusters, their"
          " sizes and directions mean nothing."
      ),
      markup.paragraph(
          f"The first {MOST_LABELS} of {len(values)} labels are shown."
      )
      if len(values) > MOST_LABELS
      else None,
      figure_grid(figures),
      None
      if values
      else markup.missing(
          "To colour the map by labels, give a table of user_id and 0/1"
          " columns:",
          colour,
      ),
  )
  return Section("map", "Map of the embeddings", body, figures)


def _facts(vectors: Vectors) -> str:
  settings, shown = vectors.settings, len(vectors.values)
  one = "user in a split" if settings.get("unit") == "user" else "sequence"
  how = ", ".join(
      f"{name} {settings[name]}"
      for name in ("pooling", "layer", "step")
      if name in settings
  )
  number = (
      f"All {shown:,} are shown"
      if shown == vectors.total_rows
      else f"{shown:,} of {vectors.total_rows:,}, chosen by a fixed seed, are"
      " shown"
  )
  return (
      f"Each point is the vector of a {one}, {vectors.values.shape[1]:,}"
      f" numbers, from {vectors.file}{f' ({how})' if how else ''}. {number};"
      f" there are {len(vectors.all_users):,} users."
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
    groups = [(styles[value], values == value) for value in (UNKNOWN, *order)]
    figures.append(
        _map(
            plots.file_name("embeddings", place, label),
            f"Map by {name}",
            "Points of one kind that lie together are told apart by the"
            " vectors alone, without having seen a label.",
            points,
            groups,
        )
    )
  edges = np.unique(np.quantile(num_events, np.linspace(0, 1, 6)).round())
  classes = np.searchsorted(edges[1:-1], num_events, side="right")
  present = np.unique(classes)
  shades = np.linspace(1, 5, max(len(present), 2)).round().astype(int)
  groups = []
  for shade, one in zip(shades, present, strict=False):
    inside = num_events[classes == one]
    low, high = inside.min(), inside.max()
    text = f"{low:,}" if low == high else f"{low:,} to {high:,} events"
    groups.append(((f"ramp{shade}", "o", text), classes == one))
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
    groups: list[tuple[tuple[str, str, str], np.ndarray]],
) -> plots.Figure:
  """Points by group: (colour, marker, text), and which points [n] bool."""

  def paint(axes: plots.Axes) -> None:
    for (colour, marker, text), chosen in groups:
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

  return plots.draw(name, title, caption, paint, (_WIDTH, _WIDTH))

"""The section with the map of the embeddings."""

from pathlib import Path

import polars as pl

from behavior_lm.reporting import maps
from behavior_lm.reporting import markup
from behavior_lm.reporting.projection import project
from behavior_lm.reporting.projection import Projection
from behavior_lm.reporting.section import figure_grid
from behavior_lm.reporting.section import Section
from behavior_lm.reporting.vectors import Vectors

_ANCHOR, _TITLE = "map", "Map of the embeddings"


def map_section(
    run_name: str,
    config_hash: str,
    path: Path | None = None,
    vectors: Vectors | None = None,
    labels: pl.DataFrame | None = None,
) -> Section:
  """What the vectors look like from above.

  Args:
    run_name: of the run folder.
    config_hash: of the run.
    path: the embeddings file.
    vectors: read from it.
    labels: user_id, one row a user, and a 0/1 column a label.
  """
  if vectors is None or path is None:
    return Section(_ANCHOR, _TITLE, _missing(run_name), [])
  projection = project(vectors.values)
  if projection is None:
    few = markup.paragraph(
        f"{path.name} holds fewer than five different vectors: too few for a"
        " map."
    )
    return Section(_ANCHOR, _TITLE, few, [])
  values = {} if labels is None else maps.label_values(labels, vectors.users)
  figures = maps.map_figures(projection.points, vectors.num_events, values)
  body = markup.join(
      _other_run(vectors, config_hash),
      markup.paragraph(
          " ".join(_sentences(path, vectors, projection, len(values)))
      ),
      figure_grid(figures),
      None if values else _how_to_colour(run_name),
  )
  return Section(_ANCHOR, _TITLE, body, figures)


def _missing(run_name: str) -> markup.Markup:
  return markup.to_get_it(
      "No embeddings yet. To make a vector of every user, then a map coloured"
      " by your labels (a table of user_id and 0/1 columns):",
      f"python experiments/embed.py --run runs/{run_name} --data DATA"
      " --unit user",
      f"python experiments/report.py --run runs/{run_name}"
      " --labels labels.csv",
  )


def _how_to_colour(run_name: str) -> markup.Markup:
  return markup.to_get_it(
      "To colour the map by labels, give a table of user_id and 0/1 columns:",
      f"python experiments/report.py --run runs/{run_name}"
      " --labels labels.csv",
  )


def _other_run(vectors: Vectors, config_hash: str) -> markup.Markup | None:
  other = vectors.settings.get("config_hash")
  if other in (None, config_hash):
    return None
  return markup.notice(
      f"These vectors were made with another config: {other}, not"
      f" {config_hash}. Embed again."
  )


def _sentences(
    path: Path, vectors: Vectors, projection: Projection, num_labels: int
) -> list[str]:
  shown = len(vectors.values)
  # One for each split that the user is in.
  by_user = vectors.settings.get("unit") == "user"
  one = "vector of a user in a split" if by_user else "vector of a sequence"
  out = [
      f"Each point is the {one}, {vectors.values.shape[1]:,} numbers, from"
      f" {path.name}" + _made_by(vectors) + ".",
      (
          f"All {shown:,}"
          if shown == vectors.total_rows
          else f"{shown:,} of {vectors.total_rows:,}, chosen by a fixed seed,"
      )
      + f" are shown; there are {len(vectors.all_users):,} users.",
      f"They were reduced to {projection.components} principal components"
      f" ({markup.percent(projection.kept, 0)} of the variance), then laid out"
      f" by t-SNE (perplexity {projection.perplexity:.3g}, fixed seed).",
      "Neighbours on the map are alike; the distance between two clusters,"
      " their size and the directions mean nothing.",
  ]
  if num_labels > maps.MOST_LABELS:
    out.append(
        f"Of {num_labels} labels the first {maps.MOST_LABELS} are shown."
    )
  return out


def _made_by(vectors: Vectors) -> str:
  words = [
      f"{name} {vectors.settings[name]}"
      for name in ("pooling", "layer", "step")
      if name in vectors.settings
  ]
  return f" ({', '.join(words)})" if words else ""

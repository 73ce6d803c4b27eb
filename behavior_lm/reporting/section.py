"""A section of the page, and figures in it."""

import dataclasses

from behavior_lm.reporting import markup
from behavior_lm.reporting.markup import Markup
from behavior_lm.reporting.plots import Figure


@dataclasses.dataclass(frozen=True)
class Section:
  """A part of the page.

  Attributes:
    anchor: its id.
    title: its heading.
    body: what stands below it.
    figures: those in `body`, to be written as PNG as well.
  """

  anchor: str
  title: str
  body: Markup
  figures: list[Figure]


def figure_grid(figures: list[Figure], wide: bool = False) -> Markup:
  """Figures side by side where there is room, each with its caption."""
  parts = [
      markup.tag(
          "figure",
          markup.tag("h3", figure.title),
          figure.svg,
          markup.tag("figcaption", figure.caption),
      )
      for figure in figures
  ]
  return markup.tag("div", *parts, class_="wide" if wide else "grid")

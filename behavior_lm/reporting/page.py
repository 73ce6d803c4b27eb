"""The page: one HTML file that needs nothing else."""

import base64
from collections.abc import Iterable, Sequence
import dataclasses

from behavior_lm.reporting import markup
from behavior_lm.reporting.markup import Markup
from behavior_lm.reporting.markup import tag
from behavior_lm.reporting.plots import Figure

# By this the program knows a page that it wrote.
GENERATOR = "behavior_lm report"
# No script runs and nothing is fetched, even if a text got through as markup.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

_STYLE = """
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1120px; padding: 2rem 1.2rem 4rem;
  color: #1f2329; font: 1rem/1.5 system-ui, "Segoe UI", Roboto, "Noto Sans",
    Arial, sans-serif; }
h1, h3, p, figcaption, code, dd { overflow-wrap: anywhere; }
h1 { font-size: 1.8rem; margin: 0 0 .3rem; }
h2 { margin: 3rem 0 .8rem; padding-top: 1rem; border-top: 1px solid #dfe3e8; }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .5rem; }
p { margin: .6rem 0; max-width: 46rem; }
a, summary { color: #0068a8; }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; margin: 1rem 0; }
header p, figcaption, .note, th, dt, td small, .tiles span, footer {
  color: #5b6570; }
figcaption, .note, footer { font-size: .9rem; }
.tiles { display: grid; gap: .8rem;
  grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); }
.tiles div, pre { background: #f5f7f9; border-radius: .5rem;
  padding: .8rem 1rem; }
.tiles strong { display: block; font-size: 1.4rem; }
.grid { display: grid; gap: 1.2rem 2.4rem; margin: 1rem 0;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); }
figure { margin: 0; min-width: 0; }
figure img { display: block; width: 100%; max-width: 40rem; }
.scroll { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .92rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .8rem; text-align: right; vertical-align: top;
  white-space: nowrap; border-bottom: 1px solid #dfe3e8; }
th { white-space: normal; vertical-align: bottom; font-weight: 550; }
.text { text-align: left; }
td.text { white-space: normal; min-width: 8rem; }
td small { display: block; }
.better { color: #00694b; font-weight: 600; }
.worse { color: #b03a00; font-weight: 600; }
meter { width: 8rem; }
dl { display: grid; gap: .1rem 2rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); }
dl div { display: flex; justify-content: space-between; gap: 1rem;
  padding: .3rem 0; border-bottom: 1px solid #dfe3e8; }
dd { margin: 0; text-align: right; }
pre { white-space: pre-wrap; font-size: .9rem; }
.missing { border: 1px dashed #a9b2bc; border-radius: .5rem;
  padding: .4rem 1rem; margin: 1rem 0; }
.notice { border-left: .25rem solid #c94f00; padding: .4rem .9rem;
  background: #f5f7f9; }
details { margin: 1.2rem 0; }
footer { margin-top: 4rem; }
"""


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
  figures: Sequence[Figure] = ()


def figure_grid(figures: Iterable[Figure]) -> Markup:
  """Figures side by side where there is room, each with its caption."""
  parts = [
      tag(
          "figure",
          tag("h3", figure.title),
          Markup(
              f'<img alt="{markup.escape(figure.title)}" src="data:image/png;'
              f'base64,{base64.b64encode(figure.png).decode()}">'
          ),
          tag("figcaption", figure.caption),
      )
      for figure in figures
  ]
  return tag("div", *parts, class_="grid")


def page(
    title: str,
    subtitle: str,
    tiles: Iterable[tuple[str, str]],
    sections: Sequence[Section],
) -> str:
  """The whole file.

  Args:
    title: heading.
    subtitle: one line below it.
    tiles: (number, what it is), the results at a glance.
    sections: in order.
  """
  head = markup.join(
      Markup('<meta charset="utf-8">'),
      Markup('<meta name="viewport" content="width=device-width">'),
      Markup(
          f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
      ),
      Markup(f'<meta name="generator" content="{GENERATOR}">'),
      tag("title", title),
      tag("style", Markup(_STYLE)),
  )
  links = [tag("a", one.title, href=f"#{one.anchor}") for one in sections]
  glance = [
      tag("div", tag("strong", value), tag("span", name))
      for value, name in tiles
  ]
  body = markup.join(
      tag(
          "header",
          tag("h1", title),
          markup.paragraph(subtitle),
          tag("nav", *links),
          tag("div", *glance, class_="tiles"),
      ),
      *(
          tag("section", tag("h2", one.title), one.body, id=one.anchor)
          for one in sections
      ),
      tag(
          "footer",
          "Made by behavior_lm. Every figure lies as a PNG beside this page."
          " The page holds no user ids.",
      ),
  )
  html = tag("html", tag("head", head), tag("body", body), lang="en")
  return f"<!doctype html>\n{html}\n"

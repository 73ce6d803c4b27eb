"""The page: one HTML file that needs nothing else, in light and dark."""

from behavior_lm.reporting import markup
from behavior_lm.reporting.markup import Markup
from behavior_lm.reporting.markup import tag
from behavior_lm.reporting.plots import COLOURS
from behavior_lm.reporting.section import Section

# By this the program knows a page that it wrote.
GENERATOR = "behavior_lm report"
# No script runs and nothing is fetched, even if a text got through as markup.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"

_STYLE = """
:root { color-scheme: light dark; --page: #ffffff; --card: #f5f7f9;
  --good: #00694b; --bad: #b03a00; %(light)s }
@media (prefers-color-scheme: dark) {
  :root { --page: #15191e; --card: #1d232a; --good: #4fd3a6; --bad: #ff9d5c;
    %(dark)s }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%%; scroll-behavior: smooth; }
body { margin: 0 auto; max-width: 1120px; padding: 2.5rem 1.25rem 4rem;
  background: var(--page); color: var(--ink); line-height: 1.55;
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans",
    "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem;
  letter-spacing: -.01em; overflow-wrap: anywhere; }
h2 { font-size: 1.4rem; line-height: 1.25; margin: 3.2rem 0 .8rem;
  padding-top: 1.1rem; border-top: 1px solid var(--grid); }
h3 { font-size: 1.02rem; margin: 1.6rem 0 .5rem; overflow-wrap: anywhere; }
p { margin: .6rem 0; max-width: 46rem; overflow-wrap: anywhere; }
a { color: var(--blue); }
header p { color: var(--muted); max-width: none; }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; margin: 1.2rem 0;
  font-size: .95rem; }
nav a { text-decoration: none; padding: .2rem 0; }
nav a:hover { text-decoration: underline; }
.tiles { display: grid; gap: .8rem; margin: 1.4rem 0 0;
  grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); }
.tiles div { background: var(--card); border-radius: .5rem;
  padding: .8rem 1rem; }
.tiles strong { display: block; font-size: 1.5rem; line-height: 1.2;
  font-weight: 650; font-variant-numeric: tabular-nums; }
.tiles span { color: var(--muted); font-size: .88rem; }
.grid { display: grid; gap: 1.2rem 2.4rem; margin: 1rem 0;
  grid-template-columns: repeat(auto-fit, minmax(min(100%%, 24rem), 1fr)); }
.wide { max-width: 42rem; }
figure { margin: 0; min-width: 0; }
figcaption, .note { color: var(--muted); font-size: .9rem; line-height: 1.5; }
figcaption { max-width: 36rem; overflow-wrap: anywhere; }
.plot { display: block; width: 100%%; height: auto; max-width: 36rem; }
.wide .plot { max-width: 42rem; }
.plot * { stroke-linejoin: round; stroke-linecap: butt; }
.scroll { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .92rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: .42rem .85rem; text-align: right; vertical-align: top;
  white-space: nowrap; border-bottom: 1px solid var(--grid); }
th:first-child, td:first-child { padding-left: 0; }
th { color: var(--muted); font-weight: 550; vertical-align: bottom;
  white-space: normal; min-width: 5rem; border-bottom-color: var(--faint); }
.text { text-align: left; }
td.text { white-space: normal; overflow-wrap: break-word; min-width: 8rem; }
tr.baseline td { color: var(--muted); }
tr.baseline strong { color: var(--ink); }
td small { display: block; color: var(--muted); font-size: .82rem; }
.better { color: var(--good); font-weight: 600; }
.worse { color: var(--bad); font-weight: 600; }
.bar { width: 8rem; height: .6rem; margin-top: .5rem; }
.bar div { height: 100%%; border-radius: 0 .2rem .2rem 0;
  background: var(--blue); }
dl { display: grid; gap: .1rem 2rem; margin: 1rem 0;
  grid-template-columns: repeat(auto-fit, minmax(min(100%%, 20rem), 1fr)); }
dl div { display: flex; justify-content: space-between; gap: 1rem;
  padding: .35rem 0; border-bottom: 1px solid var(--grid); }
dt { color: var(--muted); }
dd { margin: 0; text-align: right; overflow-wrap: anywhere;
  font-variant-numeric: tabular-nums; }
code { font: .9em ui-monospace, SFMono-Regular, Menlo, Consolas,
    "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
pre { background: var(--card); border-radius: .5rem; padding: .9rem 1.1rem;
  white-space: pre-wrap; line-height: 1.5; font-size: .92rem; }
.missing { border: 1px dashed var(--faint); border-radius: .5rem;
  padding: .5rem 1.1rem .8rem; margin: 1rem 0; }
.notice { border-left: .25rem solid var(--orange); padding: .4rem .9rem;
  background: var(--card); }
details { margin: 1.2rem 0; }
summary { cursor: pointer; color: var(--blue); }
footer { margin-top: 4rem; color: var(--muted); font-size: .88rem; }
@media (max-width: 40rem) {
  body { padding: 1.4rem 1rem 3rem; }
  h1 { font-size: 1.55rem; }
  .tiles { grid-template-columns: 1fr 1fr; gap: .6rem; }
  .tiles strong { font-size: 1.2rem; }
}
@media print {
  .scroll { overflow: visible; }
  figure, tr { break-inside: avoid; }
}
"""


def page(
    title: str,
    subtitle: str,
    tiles: list[tuple[str, str]],
    sections: list[Section],
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
      Markup(
          '<meta name="viewport" content="width=device-width,'
          ' initial-scale=1">'
      ),
      Markup(
          f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
      ),
      Markup(f'<meta name="generator" content="{GENERATOR}">'),
      tag("title", title),
      tag("style", Markup(_style())),
  )
  links = [
      tag("a", section.title, href=f"#{section.anchor}") for section in sections
  ]
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
      tag(
          "main",
          *(
              tag(
                  "section",
                  tag("h2", section.title),
                  section.body,
                  id=section.anchor,
              )
              for section in sections
          ),
      ),
      tag(
          "footer",
          "Made by behavior_lm. Every figure lies as a PNG beside this page."
          " The page holds no user ids.",
      ),
  )
  html = tag("html", tag("head", head), tag("body", body), lang="en")
  return f"<!doctype html>\n{html}\n"


def _style() -> str:
  def variables(place: int) -> str:
    return " ".join(
        f"--{name}: {pair[place]};" for name, pair in COLOURS.items()
    )

  return _STYLE.strip() % {"light": variables(0), "dark": variables(1)}

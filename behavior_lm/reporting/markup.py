"""HTML made so that no text can become markup by accident.

Texts come from logs, and logs are hostile: an event id may be a script. All
that is not `Markup` is escaped where it is put into the page.
"""

from collections.abc import Iterable, Mapping, Sequence
import html
from typing import Any
import unicodedata

NONE = "–"


class Markup(str):
  """Text that is HTML already."""


def plain(text: object, longest: int = 120) -> str:
  """A text as it may be shown: visible characters, not too many.

  Control characters, text direction marks and halves of surrogate pairs
  would break the page, its encoding or the order of what is read.
  """
  cleaned = "".join(
      "\N{REPLACEMENT CHARACTER}"
      if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Cn")
      else char
      for char in str(text)
  )
  if len(cleaned) <= longest:
    return cleaned
  return cleaned[: longest - 1] + "\N{HORIZONTAL ELLIPSIS}"


def escape(content: object) -> Markup:
  """`Markup` as it is, None as nothing, anything else as escaped text."""
  if content is None:
    return Markup()
  if isinstance(content, Markup):
    return content
  return Markup(html.escape(plain(content, longest=2_000), quote=True))


def tag(name: str, *children: object, **attributes: object) -> Markup:
  """<name attributes>children</name>; `class_` stands for class."""
  parts = [
      f' {key.rstrip("_")}="{escape(value)}"'
      for key, value in attributes.items()
  ]
  inside = "".join(escape(child) for child in children)
  return Markup(f"<{name}{''.join(parts)}>{inside}</{name}>")


def join(*parts: object) -> Markup:
  """The parts that are not None, one on each line."""
  return Markup("\n".join(escape(part) for part in parts if part is not None))


def paragraph(*children: object, class_: str = "") -> Markup:
  """A paragraph; class "note" is small print, "notice" is a warning."""
  return tag("p", *children, **({"class_": class_} if class_ else {}))


def commands(*lines: str) -> Markup:
  """Command lines to copy; a line may hold line breaks."""
  each = [escape(line) for text in lines for line in text.split("\n")]
  return tag("pre", tag("code", Markup("\n".join(each))))


def missing(what: str, *lines: str) -> Markup:
  """Stands for something that is not there, with the commands for it."""
  return tag("div", paragraph(what), commands(*lines), class_="missing")


def cell(text: object, *small: object, bold: bool = False) -> Markup:
  """A cell of a table: a text, and lines in small print below it."""
  return join(
      tag("strong", text) if bold else text,
      *(tag("small", line) for line in small if line),
  )


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    text_columns: int = 1,
) -> Markup:
  """A table that scrolls sideways where the screen is narrow.

  Args:
    header: names of the columns.
    rows: cells, texts or markup.
    text_columns: so many columns from the left are text, the others numbers.
  """

  def line(kind: str, values: Sequence[object]) -> Markup:
    cells = [
        tag(kind, value, class_="text" if place < text_columns else "number")
        for place, value in enumerate(values)
    ]
    return tag("tr", *cells)

  inside = tag(
      "table",
      tag("thead", line("th", header)),
      tag("tbody", *(line("td", row) for row in rows)),
  )
  # A region that scrolls has to be reachable by keyboard.
  return tag("div", inside, class_="scroll", tabindex=0)


def records(
    rows: Iterable[Mapping[str, Any]],
    columns: Mapping[str, str],
    text_columns: int = 1,
) -> Markup:
  """A table of dicts: {header: format}, "{share:.1%}" for instance."""
  cells = [[form.format_map(row) for form in columns.values()] for row in rows]
  return table(list(columns), cells, text_columns=text_columns)


def definitions(pairs: Iterable[tuple[str, object]]) -> Markup:
  """Names and values, one below the other."""
  rows = [
      tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs
  ]
  return tag("dl", *rows)


def details(summary: str, *children: object) -> Markup:
  """What only some readers want, folded away."""
  return tag("details", tag("summary", summary), *children)


def percent(share: float, digits: int = 1) -> str:
  """0.1234 -> 12.3 %; only nothing is 0 %, only all is 100 %."""
  text = f"{100 * share:.{digits}f}"
  if share > 0 and float(text) == 0:
    return f"< {10**-digits:.{digits}f} %"
  if share < 1 and float(text) == 100:
    return f"> {100 - 10**-digits:.{digits}f} %"
  return f"{text} %"


def duration(seconds: float) -> str:
  """5,000 -> 1 h 23 min."""
  minutes = int(seconds // 60)
  if minutes < 1:
    return f"{seconds:.0f} s"
  if minutes < 60:
    return f"{minutes} min {int(seconds % 60)} s"
  return f"{minutes // 60:,} h {minutes % 60} min"


def short(number: float) -> str:
  """1,560,000 -> 1.56 M."""
  for size, scale, unit in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
    if abs(number) >= size:
      return f"{number / scale:.3g} {unit}"
  return f"{number:,.0f}"

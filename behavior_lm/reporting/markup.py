"""HTML made so that no text can become markup by accident.

Texts come from logs, and logs are hostile: an event id may be a script. All
that is not `Markup` is escaped where it is put into the page.
"""

import html
import math
import unicodedata

_LONGEST = 120


class Markup(str):
  """Text that is HTML already."""


def plain(text: object, longest: int = _LONGEST) -> str:
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
  """The parts, one on each line."""
  return Markup("\n".join(escape(part) for part in parts if part is not None))


def paragraph(*children: object, **attributes: object) -> Markup:
  """A paragraph."""
  return tag("p", *children, **attributes)


def notice(*children: object) -> Markup:
  """What a reader should know before trusting what follows."""
  return tag("p", *children, class_="notice")


def code(text: str) -> Markup:
  """A name or value as a machine reads it."""
  return tag("code", text)


def command(*lines: str) -> Markup:
  """Command lines to copy; a text may hold several."""
  each = [escape(line) for text in lines for line in text.split("\n")]
  return tag("pre", tag("code", Markup("\n".join(each))))


def to_get_it(what: str, *lines: str) -> Markup:
  """The place of something that is not there, with the command for it."""
  return tag("div", paragraph(what), command(*lines), class_="missing")


def table(
    header: list[str],
    rows: list[list[object]],
    *,
    text_columns: int = 1,
    row_classes: list[str] | None = None,
) -> Markup:
  """A table that scrolls sideways where the screen is narrow.

  Args:
    header: names of the columns.
    rows: cells, texts or markup.
    text_columns: so many columns from the left are text, the others numbers.
    row_classes: one class a row.
  """

  def cells(kind: str, values: list[object]) -> list[Markup]:
    return [
        tag(kind, value, class_="text" if place < text_columns else "number")
        for place, value in enumerate(values)
    ]

  classes = row_classes or [""] * len(rows)
  body = [
      tag("tr", *cells("td", row), class_=class_)
      if class_
      else tag("tr", *cells("td", row))
      for row, class_ in zip(rows, classes, strict=True)
  ]
  inside = tag(
      "table",
      tag("thead", tag("tr", *cells("th", list(header)))),
      tag("tbody", *body),
  )
  # A region that scrolls has to be reachable by keyboard.
  return tag("div", inside, class_="scroll", tabindex=0)


def definitions(pairs: list[tuple[str, object]]) -> Markup:
  """Names and values, one below the other."""
  rows = [
      tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs
  ]
  return tag("dl", *rows)


def details(summary: str, *children: object) -> Markup:
  """What only some readers want, folded away."""
  return tag("details", tag("summary", summary), *children)


def fixed(number: float | None, digits: int) -> str:
  """1234.5 -> 1,234.50; a dash when there is none."""
  if number is None:
    return "–"
  if not math.isfinite(number):
    return "not finite"
  return f"{number:,.{digits}f}".replace("-", "−")


def signed(number: float, digits: int) -> str:
  """0.5 -> +0.50."""
  return ("+" if number > 0 else "") + fixed(number, digits)


def interval(limits: tuple[float, float] | None, digits: int) -> str:
  """(0.1, 0.2) -> 0.10 to 0.20; nothing when there is none."""
  if limits is None:
    return ""
  return f"{fixed(limits[0], digits)} to {fixed(limits[1], digits)}"


def signed_interval(limits: tuple[float, float], digits: int) -> str:
  """(0.1, 0.2) -> +0.10 to +0.20."""
  return f"{signed(limits[0], digits)} to {signed(limits[1], digits)}"


def probability(p: float | None) -> str:
  """Of a test: three digits."""
  if p is None:
    return "–"
  return "< 0.001" if p < 0.001 else f"{p:.3f}"


def count(number: int | None) -> str:
  """1234 -> 1,234."""
  return "–" if number is None else f"{number:,}"


def percent(share: float, digits: int = 1) -> str:
  """0.1234 -> 12.3 %; what is not all or nothing does not look so."""
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
  for size, unit in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
    if abs(number) >= size:
      scale = 1e3 if unit == " k" else size
      return f"{number / scale:.3g}{unit}"
  return f"{number:,.0f}"

"""Markdown tables."""

from collections.abc import Iterable, Sequence
import re


def table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
  r"""A table in GitHub's Markdown; the first column is left, others right.

  Cells are written with `str`. A pipe in a cell becomes `\|` and a line break
  becomes a space, so that no cell changes the shape of the table.

  Args:
    header: names of the columns, at least one.
    rows: one cell per column.

  Returns:
    The lines of the table, without a line break at the end.

  Raises:
    ValueError: if the header is empty or a row has another number of cells.
  """
  if not header:
    raise ValueError("a table needs at least one column")
  lines = [_line(header), "|---" + "|---:" * (len(header) - 1) + "|"]
  for row in rows:
    if len(row) != len(header):
      raise ValueError(
          f"a row has {len(row)} cells, the header has {len(header)}: {row}"
      )
    lines.append(_line(row))
  return "\n".join(lines)


def _line(cells: Sequence[object]) -> str:
  return "| " + " | ".join(_escaped(str(cell)) for cell in cells) + " |"


def _escaped(text: str) -> str:
  text = " ".join(text.splitlines())
  # Backslashes before a pipe are doubled: they would undo its escape.
  return re.sub(r"(\\*)\|", r"\1\1\\|", text)

"""Tests for Markdown tables."""

import re

from hypothesis import given
from hypothesis import strategies as st
import pytest

from behavior_lm.common import markdown

_CELLS = st.lists(
    st.lists(st.text("ab|\\\n\r "), min_size=3, max_size=3), max_size=4
)


def _read_back(line: str) -> list[str]:
  """The cells of a line, as a reader of GitHub's Markdown splits them."""
  parts = re.findall(r"((?:\\[|\\]|[^|])*)\|", line[1:])
  return [re.sub(r"(\\*)\\\|", _halved, part.strip()) for part in parts]


def _halved(match: re.Match[str]) -> str:
  return match[1][: len(match[1]) // 2] + "|"


@pytest.mark.slow
@given(_CELLS)
def test_cells_come_back_with_line_breaks_as_spaces(rows):
  lines = markdown.table(["x", "y", "z"], rows).split("\n")
  assert len(lines) == 2 + len(rows)
  for line, row in zip(lines[2:], rows, strict=True):
    assert _read_back(line) == [
        " ".join(cell.splitlines()).strip() for cell in row
    ]


def test_first_column_is_left_and_the_others_are_right():
  rule = markdown.table(["model", "bits", "p"], []).split("\n")[1]
  assert rule == "|---|---:|---:|"


def test_row_of_another_length_is_refused():
  with pytest.raises(ValueError, match="2 cells"):
    markdown.table(["model", "bits", "p"], [["a", 1]])
  with pytest.raises(ValueError, match="column"):
    markdown.table([], [])

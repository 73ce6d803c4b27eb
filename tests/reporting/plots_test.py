"""Tests for figures."""

import re

import matplotlib.figure
import pytest

from behavior_lm.reporting import plots

HOSTILE = r'$\frac{</text><script>x</script>" 仮名'


def line(axes):
  axes.plot([1, 2, 3], [3, 1, 2], color=plots.COLOURS["blue"], label=HOSTILE)
  axes.legend()


def test_the_same_drawing_gives_the_same_bytes_whatever_its_labels():
  figure = plots.draw("name", "A title", "A caption", line)
  assert figure.png.startswith(b"\x89PNG")
  assert figure.png == plots.draw("name", "A title", "A caption", line).png


@pytest.mark.parametrize(
    ("low", "high", "want"),
    [
        (1.0, 1.4, "linear"),
        (3.0, 9.0, "log"),
        (1.0, 90.0, "log"),
        (1.0, 900.0, "log"),
        (1.0, 1e7, "log"),
    ],
)
def test_a_log_axis_has_a_few_readable_numbers(low, high, want):
  axes = matplotlib.figure.Figure().add_subplot()
  axes.plot([low, high], [1, 2])
  plots.log_axis(axes, "x", low, high)
  assert axes.get_xscale() == want
  axes.figure.draw_without_rendering()
  first, last = axes.get_xlim()
  shown = [t for t in axes.get_xticks() if first <= t <= last]
  assert 2 <= len(shown) <= 12
  for label in axes.get_xticklabels():
    assert re.fullmatch(r"[\d,.]+( M)?", label.get_text())


def test_words_become_a_plain_file_name():
  assert plots.file_name("map", 1, "../../<b>$x_{$") == "map_1_b_x"

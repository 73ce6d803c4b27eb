import re
import xml.etree.ElementTree as ElementTree

import pytest

from behavior_lm.reporting import plots

HOSTILE = r'$\frac{</text><script>x</script>" id="figure_1"'


def line(axes):
  axes.plot([1, 2, 3], [3, 1, 2], color=plots.LIGHT["blue"], label=HOSTILE)
  axes.legend()


@pytest.fixture(scope="module")
def figure():
  return plots.draw("name", "A title", "A caption", line)


def test_the_same_drawing_gives_the_same_bytes(figure):
  again = plots.draw("name", "A title", "A caption", line)
  assert again.png == figure.png
  assert again.svg == figure.svg


def test_a_label_from_outside_is_text_in_the_figure(figure):
  root = ElementTree.fromstring(figure.svg)
  assert HOSTILE in [element.text for element in root.iter("text")]
  assert not list(root.iter("script"))


def test_the_page_decides_the_colours(figure):
  assert "stroke: var(--blue)" in figure.svg
  left = set(re.findall(r"#[0-9a-f]{6}", figure.svg))
  assert not left, f"colours that stay in the dark: {left}"


def test_the_figure_holds_no_style_for_the_whole_page(figure):
  assert "<style" not in figure.svg
  assert "<metadata" not in figure.svg


def test_two_figures_of_one_page_share_no_ids(figure):
  other = plots.draw("other", "A title", "A caption", line)

  def ids(svg):
    return {
        element.get("id")
        for element in ElementTree.fromstring(svg).iter()
        if element.get("id")
    }

  assert ids(figure.svg)
  assert not ids(figure.svg) & ids(other.svg)


def test_every_reference_inside_a_figure_has_its_target(figure):
  root = ElementTree.fromstring(figure.svg)
  ids = {element.get("id") for element in root.iter()}
  wanted = re.findall(r'(?:href="#|url\(#)([^")]+)', figure.svg)
  assert wanted
  assert set(wanted) <= ids


def test_the_colours_of_a_theme_differ():
  for place in (0, 1):
    colours = [pair[place] for pair in plots.COLOURS.values()]
    assert len(set(colours)) == len(colours)


@pytest.mark.parametrize(
    ("low", "high"), [(1, 1.2), (3, 8), (5, 700), (64, 30_000), (1, 1e9)]
)
def test_an_axis_has_marks_whatever_its_range(low, high):
  marks = []

  def paint(axes):
    axes.plot([low, high], [0, 1])
    plots.log_axis(axes, "x", low, high)
    axes.figure.draw_without_rendering()
    first, last = axes.get_xlim()
    marks.extend(
        label.get_text()
        for place, label in zip(
            axes.get_xticks(), axes.get_xticklabels(), strict=True
        )
        if first <= place <= last
    )

  plots.draw("name", "title", "caption", paint)
  assert 2 <= len([mark for mark in marks if mark]) <= 12, marks
  assert not any("$" in mark for mark in marks), marks

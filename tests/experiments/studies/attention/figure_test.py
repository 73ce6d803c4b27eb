import io

from matplotlib.colors import to_rgb
import numpy as np
from PIL import Image
import pytest

from behavior_lm.reporting import plots
from experiments.studies.attention.figure import COLUMNS
from experiments.studies.attention.figure import draw_attention
from experiments.studies.attention.figure import paint
from experiments.studies.attention.figure import PANEL

IDS = np.asarray([1, 1, 2, 0])
NEAR = np.eye(4, dtype=bool) & (IDS != 0)
FAR = np.asarray([[0, 1, 0, 0]] + [[0] * 4] * 3, bool)


def test_each_pair_has_the_colour_of_its_part():
  image = paint({"near": NEAR, "far": FAR}, IDS)
  named = {
      tuple(to_rgb(plots.COLOURS[name])): name
      for name in ("blue", "orange", "grid")
  } | {(1.0, 1.0, 1.0): "paper"}
  got = [[named[tuple(pixel)] for pixel in row] for row in image]
  assert got == [
      ["blue", "orange", "paper", "grid"],
      ["paper", "blue", "paper", "grid"],
      ["paper", "paper", "blue", "grid"],
      ["grid", "grid", "grid", "grid"],
  ]


@pytest.mark.slow
def test_panels_stand_in_rows_of_a_page_wide():
  panels = [(f"panel {n}", {"near": NEAR}) for n in range(COLUMNS + 1)]
  panels[0] = ("two parts", {"near": NEAR, "far": FAR})
  png = draw_attention(panels, IDS)
  width, height = Image.open(io.BytesIO(png)).size
  assert width / height == pytest.approx(COLUMNS * PANEL[0] / (2 * PANEL[1]))
  assert width > 2000
  assert png != draw_attention(panels[::-1], IDS)


def test_a_mask_of_another_row_is_an_error():
  with pytest.raises(ValueError, match=r"dense: all is \(3, 3\)"):
    draw_attention([("dense", {"all": np.ones((3, 3), bool)})], IDS)

import copy

import pytest

from experiments.studies.encoders import figure as encoder_curves
from tests.experiments.benchmarks.race.encoder_result import RESULT


def height_of(result, path):
  encoder_curves.draw(result, path)
  content = path.read_bytes()
  assert content[:4] == b"\x89PNG"
  return int.from_bytes(content[20:24], "big")


@pytest.mark.slow
def test_each_tokenizer_has_panels_of_its_own(tmp_path):
  one = copy.deepcopy(RESULT)
  del one["groups"][1]
  both = height_of(RESULT, tmp_path / "both.png")
  assert both == 2 * height_of(one, tmp_path / "one.png")


@pytest.mark.slow
def test_a_row_without_an_interval_is_drawn(tmp_path):
  result = copy.deepcopy(RESULT)
  for row in result["groups"][0]["rows"]:
    row["ci"] = {}
  assert height_of(result, tmp_path / "a.png") > 100

import numpy as np
import polars as pl
import pytest

from behavior_lm.reporting import maps

POINTS = np.random.default_rng(0).normal(size=(40, 2))
NUM_EVENTS = np.arange(1, 41) * 100


def test_labels_follow_their_users_and_may_be_missing():
  table = pl.DataFrame(
      {"user_id": ["a", "b", "c"], "bot": [1, 0, None]},
      schema={"user_id": pl.String, "bot": pl.Int8},
  )
  values = maps.label_values(table, ("b", "a", "x", "a", "c"))
  assert values["bot"].tolist() == [0, 1, maps.UNKNOWN, 1, maps.UNKNOWN]


def test_each_label_has_a_map_with_its_counts():
  labels = {
      "bot": np.repeat([0, 1], 20),
      "churn": np.repeat([0, 1, maps.UNKNOWN], [30, 7, 3]),
  }
  figures = maps.map_figures(POINTS, NUM_EVENTS, labels)
  assert [figure.name for figure in figures] == [
      "embeddings_1_bot", "embeddings_2_churn", "embeddings_num_events"
  ]
  for text in ("churn = 0 (30)", "churn = 1 (7)", "no label (3)"):
    assert text in figures[1].svg, text
  assert "bot" not in figures[1].svg


def test_the_two_classes_differ_in_shape_not_in_colour_alone():
  svg = maps.map_figures(
      POINTS, NUM_EVENTS, {"bot": np.repeat([0, 1], 20)}
  )[0].svg
  uses = [part.split("/>")[0] for part in svg.split("<use href=")[1:]]
  shapes = [
      {use.split('"')[1] for use in uses if f"fill: var(--{colour})" in use}
      for colour in ("blue", "orange")
  ]
  assert all(shapes) and not shapes[0] & shapes[1]


def test_lengths_are_shown_in_five_classes():
  svg = maps.map_figures(POINTS, NUM_EVENTS, {})[0].svg
  assert svg.count(" to ") == 5
  assert "100 to 800" in svg
  assert "3,300 to 4,000" in svg


@pytest.mark.parametrize("num_events", [[7], [7, 7, 7], [1, 1, 1, 900]])
def test_equal_lengths_share_a_class(num_events):
  count = np.asarray(num_events)
  svg = maps.map_figures(POINTS[: len(count)], count, {})[0].svg
  assert f">{count[0]}<" in svg


def test_a_hostile_label_gives_a_plain_file_name():
  name = "../../<b>$x_{$"
  figures = maps.map_figures(
      POINTS, NUM_EVENTS, {name: np.repeat([0, 1], 20)}
  )
  assert figures[0].name == "embeddings_1_b_x"
  assert "<b>" not in figures[0].svg


def test_no_more_labels_are_shown_than_somebody_compares():
  labels = {f"label{n}": np.repeat([0, 1], 20) for n in range(11)}
  figures = maps.map_figures(POINTS, NUM_EVENTS, labels)
  assert len(figures) == maps.MOST_LABELS + 1

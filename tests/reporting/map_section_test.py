"""Tests for the map of the vectors."""

import numpy as np
import polars as pl
import pytest

from behavior_lm.reporting import map_section
from behavior_lm.reporting.vectors import Vectors

POINTS = np.random.default_rng(0).normal(size=(40, 2))
NUM_EVENTS = np.arange(1, 41) * 100


def legend(figure):
  return [line.get_label() for line in figure.axes.get_lines()]


def test_labels_follow_their_users_and_may_be_missing():
  table = pl.DataFrame(
      {"user_id": ["a", "b", "c"], "bot": [1, 0, None]},
      schema={"user_id": pl.String, "bot": pl.Int8},
  )
  values = map_section.label_values(table, ("b", "a", "x", "a", "c"))
  unknown = map_section.UNKNOWN
  assert values["bot"].tolist() == [0, 1, unknown, 1, unknown]


def test_each_label_has_a_map_with_its_counts_the_rarer_class_on_top():
  labels = {
      "bot": np.repeat([0, 1], 20),
      "<churn>": np.repeat([0, 1, map_section.UNKNOWN], [7, 30, 3]),
  }
  figures = map_section.map_figures(POINTS, NUM_EVENTS, labels)
  assert [figure.name for figure in figures] == [
      "embeddings_1_bot", "embeddings_2_churn", "embeddings_num_events"
  ]
  assert legend(figures[1]) == [
      "no label (3)", "<churn> = 1 (30)", "<churn> = 0 (7)"
  ]
  # Not by colour alone.
  lines = figures[0].axes.get_lines()
  assert len({line.get_marker() for line in lines}) == len(lines) == 2


@pytest.mark.parametrize(
    ("num_events", "classes"),
    [(NUM_EVENTS, 5), ([7], 1), ([7, 7, 7], 1), ([1, 1, 1, 900], 2)],
)
def test_lengths_are_shown_in_at_most_five_classes(num_events, classes):
  count = np.asarray(num_events)
  (figure,) = map_section.map_figures(POINTS[: len(count)], count, {})
  assert len(legend(figure)) == classes


def test_no_more_labels_are_shown_than_somebody_compares():
  labels = {f"label{n}": np.repeat([0, 1], 20) for n in range(11)}
  figures = map_section.map_figures(POINTS, NUM_EVENTS, labels)
  assert len(figures) == map_section.MOST_LABELS + 1


def test_vectors_of_another_config_and_too_few_are_marked():
  def body(num_rows):
    users = tuple(f"user{n}" for n in range(num_rows))
    vectors = Vectors(
        file="days.parquet",
        values=np.eye(num_rows),
        num_events=np.ones(num_rows, int),
        users=users,
        all_users=users,
        total_rows=num_rows,
        settings={"config_hash": "ffffffffffff"},
    )
    return map_section.map_section("gate", "0123456789ab", vectors).body

  assert "ffffffffffff" in body(6)
  assert "fewer than five" in body(4)

"""Tests for the rows of an evaluation."""

import dataclasses

import numpy as np
import pytest

from behavior_lm.artifacts.scores import SequenceScores
from behavior_lm.evaluation import table
from tests.artifacts.example_records import EVALUATION

USERS = np.repeat([f"user{i}" for i in range(20)], 3)


def scores(bits_per_event, seed=0, users=USERS):
  rng = np.random.default_rng(seed)
  count = rng.integers(5, 50, len(users)).astype(float)
  noise = np.random.default_rng(seed + 1).normal(0, 0.05, len(users))
  return SequenceScores(
      nats=count * (bits_per_event + noise) * np.log(2),
      correct=count * 0.5,
      hidden_bits=count * 0.25,
      count=count,
      num_events=count * 2,
      users=users,
  )


def rows_of(bits, users=USERS, **options):
  return table.make_rows(
      {"bert": scores(bits, users=users)},
      {"unigram": scores(7.0, users=users), "near": scores(2.0, users=users)},
      {"sees all": scores(1.0, users=users)},
      seeds={"bert": 3},
      config_hashes={"bert": "abc"},
      **options,
  )


@pytest.mark.parametrize("bits, sign", [(1.5, -1), (2.5, 1)])
def test_wins_and_losses_are_against_the_best_fair_baseline(bits, sign):
  row, *others = rows_of(bits)
  gap = row["difference"]
  assert gap["baseline"] == "near"
  assert gap["value"] == pytest.approx(0.25 * sign, abs=1e-6)
  assert gap["ci"][0] <= gap["value"] <= gap["ci"][1]
  assert gap["p"] <= 0.001
  assert (row["seed"], row["config_hash"]) == (3, "abc")
  assert [one["kind"] for one in others] == [
      "baseline", "baseline", "reference"
  ]
  assert all(one["difference"] is None for one in others)


def test_the_best_baseline_follows_what_is_better():
  columns = [dict(name="accuracy", title="a", format=".1%", better="high")]
  good = dataclasses.replace(scores(9.0), correct=scores(9.0).count * 0.75)
  (row, *_) = table.make_rows(
      {"bert": scores(1.0)},
      {"near": scores(1.0), "good": good},
      columns=columns,
      main="accuracy",
  )
  assert row["difference"]["baseline"] == "good"
  assert row["difference"]["value"] == pytest.approx(-0.25)
  assert row["values"] == {"accuracy": 0.5}


def test_bits_per_event_are_token_bits_and_the_charge():
  for row in rows_of(1.5):
    values = row["values"]
    assert values["charge_per_event"] == pytest.approx(0.125)
    assert values["bits_per_event"] == pytest.approx(
        values["token_bits_per_event"] + values["charge_per_event"]
    )
    low, high = row["ci"]["bits_per_event"]
    assert low < values["bits_per_event"] < high


def test_one_user_has_no_interval_over_users():
  row = rows_of(1.5, users=np.asarray(["only"] * 5))[0]
  assert "ci" not in row and row["difference"] is None


def test_a_model_that_diverged_has_a_row_without_interval():
  (row,) = table.make_rows({"bert": scores(np.nan)}, {})
  assert np.isnan(row["values"]["bits_per_event"]) and "ci" not in row


def test_scores_over_other_targets_have_no_difference():
  with pytest.raises(ValueError, match="different targets"):
    table.make_rows({"bert": scores(1.5, seed=5)}, {"near": scores(2.0)})


def test_the_terminal_shows_every_row_unwrapped(capsys):
  table.show(EVALUATION)
  lines = capsys.readouterr().out.splitlines()
  for row in EVALUATION["rows"]:
    assert any(row["model"] in line for line in lines)

import numpy as np
import pytest

from behavior_lm.artifacts.scores import kept
from behavior_lm.artifacts.scores import load_scores
from behavior_lm.artifacts.scores import save_scores
from behavior_lm.artifacts.scores import SequenceScores
from behavior_lm.common.errors import UserError


def scores(start):
  values = [np.arange(3.0) + start + step for step in range(5)]
  # As a dataset gives them: objects.
  return SequenceScores(*values, np.asarray(["a", "b", "ü"], object))


def test_scores_come_back_with_their_names_in_order(tmp_path):
  path = tmp_path / "new" / "scores.npz"
  wanted = {"neighbours (masked)": scores(0), "a/b": scores(10)}
  save_scores(path, wanted)
  got = load_scores(path)
  assert list(got) == list(wanted)
  for name, one in wanted.items():
    for field in ("nats", "correct", "hidden_bits", "count", "num_events"):
      np.testing.assert_array_equal(
          getattr(got[name], field), getattr(one, field)
      )
    assert got[name].users.tolist() == ["a", "b", "ü"]
    assert got[name].summary() == one.summary()
  assert [file.name for file in path.parent.iterdir()] == ["scores.npz"]


def test_what_is_there_is_not_made_again(tmp_path):
  path = tmp_path / "scores.npz"
  made = []

  def make():
    made.append(1)
    return {"x": scores(len(made))}

  first, second = kept(path, make), kept(path, make)
  assert made == [1]
  np.testing.assert_array_equal(first["x"].nats, second["x"].nats)


def test_a_damaged_file_is_named(tmp_path):
  path = tmp_path / "scores.npz"
  save_scores(path, {"x": scores(0)})
  path.write_bytes(path.read_bytes()[:100])
  with pytest.raises(UserError, match="scores.npz: is damaged"):
    load_scores(path)


def test_a_missing_file_is_named(tmp_path):
  with pytest.raises(UserError, match="is missing"):
    load_scores(tmp_path / "scores.npz")

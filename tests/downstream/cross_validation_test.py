"""Splits without leaks, scores by models that never saw the row, resumption."""

import dataclasses

import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.downstream import blocks
from behavior_lm.downstream import cross_validation as cv
from behavior_lm.downstream.blocks import Row
from tests.downstream import tiny_task

ROW = Row((blocks.COUNTS,), "logistic")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  return tiny_task.read(tmp_path_factory.mktemp("task"))


@pytest.fixture(autouse=True)
def small(monkeypatch):
  tiny_task.make_models_small(monkeypatch)


def split(data, by="user", **options):
  values = dict(num_folds=4, seeds=(0, 1)) | options
  return cv.make_splits(data.parts[0].table, by, **values)


def test_every_user_is_tested_once_in_each_repetition(data):
  found = split(data)
  assert len(found) == 8
  for repetition in range(2):
    tested = np.concatenate(
        [one.test for one in found if one.repetition == repetition]
    )
    np.testing.assert_array_equal(np.sort(tested), np.arange(40))
  for one in found:
    assert not set(one.train) & set(one.test)
    assert data.labels[one.test].mean() == 0.5  # Stratified.


def test_training_sizes_are_nested_and_keep_the_tested_rows(data):
  found = split(data)
  sizes = cv.smaller(data.parts[0].table, found, (8, 16, 500))
  assert list(sizes) == [8, 16]
  for whole, small, medium in zip(found, sizes[8], sizes[16], strict=True):
    np.testing.assert_array_equal(small.test, whole.test)
    assert len(small.train) == 8
    assert set(small.train) < set(medium.train) < set(whole.train)


def test_splits_need_what_they_split_by(data):
  with pytest.raises(UserError, match="--split 'day'"):
    split(data, "day")
  with pytest.raises(UserError, match="--split time needs --split_time"):
    split(data, "time")
  with pytest.raises(UserError, match="have no time"):
    split(data, "time", split_time=1)
  with pytest.raises(UserError, match="20 users have 0, and 21 folds"):
    split(data, num_folds=21)


def test_files_with_common_users_are_refused(data):
  part = np.repeat([0, 1], 20)
  found = cv.given_apart(part, data.users, (0, 1))
  assert [len(one.test) for one in found] == [20, 20]
  with pytest.raises(UserError, match="leak: 1 users"):
    cv.given_apart(part, data.users[:39] + data.users[:1], (0,))


@pytest.mark.slow
def test_a_tested_label_cannot_reach_its_own_score(data):
  made = blocks.make_blocks(data.features, width=4)
  found = split(data, seeds=(0,))
  for row in blocks.baseline_rows([blocks.HOURS]):
    one = cv.score_row(row, made, "binary", data.labels, found[:1])
    other = data.labels.copy()
    other[found[0].test] = 1 - other[found[0].test]
    two = cv.score_row(row, made, "binary", other, found[:1])
    np.testing.assert_array_equal(one.scores, two.scores, err_msg=row.name)
    np.testing.assert_array_equal(one.decisions, two.decisions)


def test_a_planted_leak_is_seen_by_that_check(data):
  # A block that looks at all labels: what the test above must not let pass.
  found = split(data, seeds=(0,))[:1]
  scores = []
  flipped = data.labels.copy()
  flipped[found[0].test] = 1 - flipped[found[0].test]
  for labels in (data.labels, flipped):
    made = {"planted": lambda train, at=labels: at[:, None] * 1.0}
    row = Row(("planted",), "logistic")
    scores.append(cv.score_row(row, made, "binary", data.labels, found).scores)
  assert np.abs(scores[0] - scores[1]).max() > 0.05


def test_columns_are_chosen_on_training_rows(data):
  made = blocks.make_blocks(data.features, width=4)
  asked = []
  made[blocks.COUNTS] = lambda train: (
      asked.append(train), data.features.counts
  )[1]
  found = split(data, seeds=(0,))
  cv.score_row(ROW, made, "binary", data.labels, found)
  for one, train in zip(found, asked, strict=True):
    np.testing.assert_array_equal(one.train, train)


def test_finished_rows_are_read_back_for_the_same_request_alone(
    data, tmp_path
):
  made = blocks.make_blocks(data.features, width=4)
  found = cv.score_row(ROW, made, "binary", data.labels, split(data))
  found = dataclasses.replace(found, seconds=1.5)
  cv.save_scores(tmp_path, ROW.name, found, {"seeds": [0, 1]})
  again = cv.saved_scores(tmp_path, ROW.name, {"seeds": [0, 1]})
  np.testing.assert_array_equal(again.scores, found.scores)
  np.testing.assert_array_equal(again.folds, found.folds)
  assert again.seconds == 1.5
  assert cv.saved_scores(tmp_path, ROW.name, {"seeds": [0]}) is None
  (tmp_path / f"{cv.file_name(ROW.name)}.npz").write_bytes(b"cut")
  assert cv.saved_scores(tmp_path, ROW.name, {"seeds": [0, 1]}) is None

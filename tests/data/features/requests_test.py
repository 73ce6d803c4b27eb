"""Rows of requests: weights of heads, samples of negatives, batches."""

import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.features import requests
from behavior_lm.data.features.requests import RequestRows


def rows(number: int = 10) -> RequestRows:
  return RequestRows(
      arrays={"x": np.arange(number), "labels": np.zeros((number, 1))},
      users=np.array(["a"] * number),
      requests=np.arange(number),
      times=np.arange(number),
      numbers=np.full(number, -1),
      actions=None,
      num_actions=0,
  )


def test_weights_follow_the_matrix_and_the_users():
  labels = np.array([[1, 0], [0, 1], [1, 1], [0, 0], [np.nan, 0]])
  matrix = np.array([[1, 0.5, 2], [0, 3, 4]])
  got = requests.head_weights(labels, matrix, np.array([1, 1, 10, 1, 1]))
  want = [[1, 0], [0.5, 3], [15, 30], [2, 4], [2, 4]]
  np.testing.assert_allclose(got, want)


def test_without_a_matrix_all_heads_weigh_the_row():
  got = requests.head_weights(np.zeros((2, 3)), None, np.array([1.0, 2.0]))
  assert got.tolist() == [[1, 1, 1], [2, 2, 2]]


def test_rows_with_an_action_are_all_kept():
  labels = (np.arange(1_000) % 4 == 0)[:, None].astype(float)
  kept = requests.sampled_rows(labels, 0.2, seed=0)
  assert set(np.flatnonzero(labels[:, 0])) <= set(kept)
  assert 100 < len(kept) - 250 < 200
  with pytest.raises(UserError, match="negative_rate is 0"):
    requests.sampled_rows(labels, 0.0, seed=0)


def test_an_epoch_holds_each_row_once_and_batches_span_epochs():
  batches = requests.RowBatches(rows(), np.arange(10), batch_size=4)
  seen = np.concatenate([next(batches)["x"] for _ in range(5)])
  for epoch in (seen[:10], seen[10:]):
    assert sorted(epoch) == list(range(10))
  assert seen[:10].tolist() != seen[10:].tolist()


def test_one_number_restores_batches():
  first = requests.RowBatches(rows(), np.arange(10), batch_size=4, seed=3)
  next(first)
  state = first.get_state()
  want = [next(first)["x"].tolist() for _ in range(6)]
  again = requests.RowBatches(rows(), np.arange(10), batch_size=4, seed=3)
  again.set_state(state)
  assert [next(again)["x"].tolist() for _ in range(6)] == want


def test_hosts_share_a_batch():
  of = lambda **host: requests.RowBatches(
      rows(), np.arange(10), batch_size=4, **host
  )
  whole = next(of())["x"]
  parts = [next(of(host=h, num_hosts=2))["x"] for h in (0, 1)]
  assert sorted(np.concatenate(parts)) == sorted(whole)

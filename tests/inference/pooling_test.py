from hypothesis import given
from hypothesis import strategies as st
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.reading import Reading
from behavior_lm.inference.pooling import add_history_tokens
from behavior_lm.inference.pooling import choose_pooling
from behavior_lm.inference.pooling import find_pooling
from behavior_lm.inference.pooling import RowSums
from behavior_lm.logs import schema
from configs.pretrain import get_config


@given(
    counts=st.lists(st.integers(1, 4), min_size=1, max_size=12),
    rng=st.randoms(use_true_random=False),
)
def test_windows_may_arrive_in_any_order(counts, rng):
  values = np.random.default_rng(0).standard_normal((sum(counts), 3))
  windows = [(row, i) for row, n in enumerate(counts) for i in range(n)]
  sizes = [1 + i for _, i in windows]
  sums = RowSums(find_pooling("cls"), 3)
  for row, count in enumerate(counts):
    for _ in range(count):
      sums.expect(row)
    sums.complete(row)
  order = list(range(len(windows)))
  rng.shuffle(order)
  for at in order:
    sums.add(windows[at][0], values[at], sizes[at])
  got = sums.vectors()
  assert got.shape == (len(counts), 3)
  for row in range(len(counts)):
    mine = [at for at, (owner, _) in enumerate(windows) if owner == row]
    want = np.average(values[mine], 0, [sizes[at] for at in mine])
    np.testing.assert_allclose(got[row], want, atol=1e-6)


def test_a_row_that_waits_for_a_window_is_never_returned():
  sums = RowSums(find_pooling("mean"), 3, num_rows=1)
  sums.expect(0)
  sums.complete(0)
  with pytest.raises(RuntimeError, match="1 rows still wait"):
    sums.vectors()


def test_an_unknown_pooling_is_an_error():
  with pytest.raises(UserError, match="'median'; known are mean, cls, max"):
    find_pooling("median")


def test_a_history_token_stands_behind_the_events_of_each_row():
  table = Reading().table
  batch = {
      "tokens": [[3, 9, 8, 0], [3, 7, 7, 6]],
      "time_gaps": [[-1, 0, 5, -1], [-1, 0, 0, 2]],
      "segment_ids": [[1, 1, 1, 0], [1, 1, 1, 1]],
      "positions": [[0, 1, 2, 0], [0, 1, 2, 3]],
      "sessions": [[0, 0, 1, 0], [0, 0, 0, 0]],
  }
  arrays = {name: jnp.asarray(x, jnp.int32) for name, x in batch.items()}
  found = add_history_tokens(arrays, 4, table)
  mask = schema.MASK_ID
  assert found["tokens"].tolist() == [[3, 9, 8, mask, 0], [3, 7, 7, 6, mask]]
  assert found["time_gaps"].tolist() == [[-1, 0, 5, -1, -1], [-1, 0, 0, 2, -1]]
  assert found["segment_ids"].tolist() == [[1, 1, 1, 1, 0], [1] * 5]
  # The model knows four positions.
  assert found["positions"].tolist() == [[0, 1, 2, 3, 0], [0, 1, 2, 3, 3]]
  assert found["sessions"].tolist() == [[0, 0, 1, 0, 0], [0] * 5]


def test_history_tokens_are_of_models_that_were_trained_with_them():
  config = get_config("objective=next_events,runlocal=1")
  with pytest.raises(UserError, match="history_rate"):
    choose_pooling("history", config)
  config.objective.history_rate = 0.5
  assert choose_pooling("history", config).history

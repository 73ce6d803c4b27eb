import numpy as np

from behavior_lm.evaluation.token_scores import marked_offsets


def test_offsets_find_every_marked_position():
  marked = np.zeros((2, 100), np.int32)
  marked[0, [5, 70, 99]] = 1
  marked[1, :40] = 1
  at, valid = marked_offsets(marked)
  assert at.shape == (2, 64)
  assert at[0][valid[0]].tolist() == [5, 70, 99]
  assert at[1][valid[1]].tolist() == list(range(40))

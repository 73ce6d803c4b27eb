"""A source of sequences in memory, for tests."""

import numpy as np


class FakeSource:
  """Sequence i has lengths[i] events; its pair codes tell where they are."""

  def __init__(self, lengths):
    self.lengths = list(lengths)
    self.extra = None

  def __len__(self):
    return len(self.lengths)

  def __getitem__(self, index):
    n = self.lengths[index]
    extra = {}
    if self.extra:
      extra[self.extra] = np.arange(n, dtype=np.float64)
    return extra | {
        "user_id": f"user{index}",
        "start": 10**15 + index,
        "pair": np.arange(n, dtype=np.int32),
        "timestamp": 10**15 + index + np.arange(n, dtype=np.int64) * 300_000,
    }

"""Packed rows for objectives that take windows apart."""

import numpy as np

PAD, MASK, UNK, CLS, SPECIAL, NO_GAP = 0, 1, 2, 3, 5, -1


def packed(sizes, length, seed=0):
  """One row for each list of sizes (events of a window); all fields."""
  rng = np.random.default_rng(seed)
  shape = (len(sizes), length)
  batch = {
      "tokens": np.full(shape, PAD),
      "time_gaps": np.full(shape, NO_GAP),
      "segment_ids": np.zeros(shape, int),
      "positions": np.zeros(shape, int),
      "sessions": np.zeros(shape, int),
  }
  for row, windows in enumerate(sizes):
    at = 0
    for number, events in enumerate(windows, 1):
      here = slice(at, at + events + 1)
      begins = rng.random(events) < 0.3
      sessions = np.cumsum(begins) - begins[:1].sum()
      for name, values in {
          "tokens": [CLS, *rng.integers(SPECIAL, 40, events)],
          "time_gaps": [NO_GAP, *rng.integers(0, 900, events)],
          "segment_ids": number,
          "positions": np.arange(events + 1),
          "sessions": [0, *sessions],
      }.items():
        batch[name][row, here] = values
      at += events + 1
  return {name: values.astype(np.int32) for name, values in batch.items()}


def pieces(batch, row, segment):
  """Tokens and gaps of one segment of a row, by their positions."""
  here = np.asarray(batch["segment_ids"])[row] == segment
  order = np.argsort(np.asarray(batch["positions"])[row][here])
  return [
      np.asarray(batch[name])[row][here][order].tolist()
      for name in ("tokens", "time_gaps")
  ]


SIZES = [[9, 4, 2, 7], [3, 1, 12], [20]]
LENGTH = 28

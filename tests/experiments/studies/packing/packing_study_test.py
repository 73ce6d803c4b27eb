from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data import packing
from configs.pretrain import get_config
from experiments.studies.packing import packing_study


def slow_grain(lengths, capacity, max_segments, open_rows):
  """Best-fit in a batch of rows; a piece that fits in none ends the batch."""
  batches = [[[] for _ in range(open_rows)]]
  for length in lengths:
    fits = [
        row
        for row in batches[-1]
        if sum(row) + length <= capacity and len(row) < max_segments
    ]
    if not fits:
      batches.append([[] for _ in range(open_rows)])
      fits = batches[-1]
    max(fits, key=sum).append(length)
  return [row for batch in batches for row in batch if row]


@given(
    st.lists(st.integers(1, 10), min_size=1, max_size=30),
    st.integers(1, 4),
    st.integers(1, 4),
)
def test_grain_is_run_and_read_back_right(lengths, max_segments, open_rows):
  limits = packing_study.Limits(max_segments, open_rows)
  got = packing_study.grain_best_fit(np.array(lengths), 10, limits)
  want = slow_grain(lengths, 10, max_segments, open_rows)
  assert got.num_rows == len(want)
  used = np.zeros((got.num_rows, 10), int)
  for row, offset, length in zip(
      got.rows, got.offsets, lengths, strict=True
  ):
    used[row, offset : offset + length] += 1
  assert used.max() == 1 and (used.sum(1) > 0).all()


def test_log_normal_lengths_have_the_mean_and_sigma_asked_for():
  lengths = packing_study.log_normal_lengths(
      200_000, mean=3_000, sigma=0.83, seed=0
  )
  assert lengths.mean() == pytest.approx(3_000, rel=0.01)
  assert np.log(lengths).std() == pytest.approx(0.83, rel=0.01)
  assert lengths.min() >= 1
  with pytest.raises(UserError, match="sigma"):
    packing_study.log_normal_lengths(10, mean=3_000, sigma=-1, seed=0)


@pytest.mark.slow
def test_a_study_has_a_row_for_every_method_and_capacity():
  lengths = packing_study.log_normal_lengths(
      2_000, mean=300, sigma=0.83, seed=0
  )
  limits = packing_study.Limits(max_segments=16, open_rows=64)
  rows = packing_study.study(lengths, [128, 512], limits, seed=0)
  assert len(rows) == 2 * len(packing_study.METHODS)
  shares = {(row["capacity"], row["method"]): row for row in rows}
  for capacity in (128, 512):
    of = {
        name: shares[capacity, name]["padding_share"]
        for name in packing_study.METHODS
    }
    assert of["a row each"] == max(of.values())
    best = packing_study.PLANNED
    assert of["best-fit, longest first"] == of[best] == min(of.values())
    assert of["best-fit"] < of["first-fit"]
    assert of["best-fit"] < of["Grain best-fit"]
    cut = (lengths > capacity - 1).mean()
    for name in packing_study.METHODS:
      row = shares[capacity, name]
      assert row["cut_share"] == pytest.approx(cut)
      assert 1 <= row["segments_a_row"] <= row["max_segments"] <= 16
      # Rows and padding agree with the tokens: events and a CLS a window.
      windows = packing.cut(lengths, capacity, overhead=1)
      tokens = windows.lengths.sum()
      assert row["padding_share"] == pytest.approx(
          1 - tokens / (row["rows"] * capacity)
      )
  # The same seed gives the same figures.
  again = packing_study.study(lengths, [128, 512], limits, seed=0)
  for row in rows + again:
    del row["pieces_a_second"]
  assert again == rows


def test_training_plans_at_least_as_well_as_either_way_of_planning():
  rng = np.random.default_rng(0)
  lengths = rng.integers(2, 40, 3_000)
  # Few pieces a row: longest first leaves the short ones to the end.
  limits = packing_study.Limits(max_segments=3)
  rows = {
      name: packing_study.METHODS[name](lengths, 64, limits).num_rows
      for name in (
          packing_study.PLANNED,
          "best-fit, longest first",
          "best-fit, all rows open",
      )
  }
  planned = rows.pop(packing_study.PLANNED)
  assert planned == min(rows.values())
  packed = packing_study.planned(lengths, 64, limits)
  ids = packing.segment_ids(packed)
  assert (ids > 0).sum() == lengths.sum() and ids.max() <= 3


def test_the_limit_of_segments_is_that_of_the_configs():
  limits = packing_study.Limits()
  for max_length in (128, 512, 4096):
    config = get_config()
    assert limits.of(config.data.max_length).max_segments == (
        config.data.max_segments
    )
    assert limits.of(max_length).max_segments == max(8, max_length // 128)

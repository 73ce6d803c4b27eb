from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from behavior_lm.logs import schema
from behavior_lm.logs.stages import external_sort
from behavior_lm.logs.stages import rows as rows_lib

_CHUNKS = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from([0, 1, 2, 2**63, 2**64 - 1]), st.integers(-2, 5)
        ),
        min_size=1,
        max_size=40,
    ),
    min_size=1,
    max_size=6,
)


def make(chunks):
  """Rows whose pair says their place in the log."""
  made, place = [], 0
  for chunk in chunks:
    rows = np.zeros(len(chunk), rows_lib.row_type({"x": schema.NUMERIC}))
    rows["user"] = [user for user, _ in chunk]
    rows["time"] = [time for _, time in chunk]
    rows["pair"] = place + np.arange(len(chunk))
    rows["extra x"] = rows["pair"] / 2
    place += len(chunk)
    made.append(rows)
  return made, place


@given(_CHUNKS, st.integers(1, 50))
def test_ranges_follow_each_other_sorted_and_ties_keep_their_order(
    tmp_path_factory, chunks, max_rows
):
  folder = tmp_path_factory.mktemp("sort") / "ranges"
  made, count = make(chunks)
  found = list(
      external_sort.sorted_ranges(lambda: iter(made), count, folder, max_rows)
  )
  joined = np.concatenate(found)
  want = np.concatenate(made)
  order = sorted(
      range(count),
      key=lambda i: (int(want["user"][i]), int(want["time"][i]), i),
  )
  np.testing.assert_array_equal(joined, want[order])
  edges = [(rows[0], rows[-1]) for rows in found]
  for (_, last), (first, _) in zip(edges, edges[1:], strict=False):
    assert (last["user"], last["time"]) != (first["user"], first["time"])
  assert not folder.exists()


@pytest.mark.parametrize("users", [1, 3, 1_000])
def test_no_range_is_much_larger_than_asked(tmp_path, users):
  rng = np.random.default_rng(0)
  rows = np.zeros(100_000, rows_lib.row_type({}))
  rows["user"] = rng.integers(0, users, len(rows))
  rows["time"] = rng.permutation(len(rows))
  chunks = np.array_split(rows, 9)
  sizes = [
      len(part)
      for part in external_sort.sorted_ranges(
          lambda: iter(chunks), len(rows), tmp_path / "r", 5_000
      )
  ]
  assert sum(sizes) == len(rows)
  assert max(sizes) <= 10_000


def test_a_range_that_came_out_too_large_is_cut_again(tmp_path, monkeypatch):
  monkeypatch.setattr(external_sort, "_SAMPLE_ROWS", 4)
  rows = np.zeros(4_000, rows_lib.row_type({}))
  rows["time"] = np.random.default_rng(0).permutation(4_000)
  parts = list(
      external_sort.sorted_ranges(
          lambda: iter([rows]), len(rows), tmp_path / "r", 250
      )
  )
  assert np.concatenate(parts)["time"].tolist() == list(range(4_000))
  # Four samples can make five ranges; these are more, and small enough.
  assert len(parts) > 5 and max(map(len, parts)) <= 500


def test_a_sample_does_not_miss_what_is_between_its_places(tmp_path):
  rows = np.zeros(1_000_000, rows_lib.row_type({}))
  # Every fifth row is of one time: where a regular sample would look.
  rows["time"] = np.where(np.arange(len(rows)) % 5, np.arange(len(rows)), -5)
  sizes = [
      len(part)
      for part in external_sort.sorted_ranges(
          lambda: iter([rows]), len(rows), tmp_path / "r", 250_000
      )
  ]
  assert sum(sizes) == len(rows) and max(sizes) <= 500_000

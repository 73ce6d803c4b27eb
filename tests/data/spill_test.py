from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import polars as pl
import pytest

from behavior_lm.data import spill
from behavior_lm.data import splits

_BATCH = st.lists(
    st.tuples(
        st.integers(0, 9).map("u{}".format),
        st.integers(0, 5),
        st.integers(0, 3),
    ),
    max_size=30,
)


@given(st.lists(_BATCH, max_size=5), st.sampled_from([1, 10**7, 10**12]))
def test_partitions_hold_all_events_sorted_and_stable(
    tmp_path_factory, batches, rows
):
  events = spill.Spill(tmp_path_factory.mktemp("spill"), rows)
  for batch in batches:
    users, pairs, times = zip(*batch, strict=True) if batch else ((), (), ())
    events.add(
        pl.Series(users, dtype=pl.String),
        np.array(pairs, np.int32),
        np.array(times, np.int64),
    )
  found = []
  for partition in range(events.num_partitions):
    part, users = events.read(partition)
    names = dict(users.iter_rows())
    found += [(names[row["user"]], row["pair"], row["time"]) for row in part]
  given_rows = [row for batch in batches for row in batch]
  want = sorted(given_rows, key=lambda r: (splits.stable_hash(r[0]), r[2]))
  assert found == want
  assert events.rows == len(want)


def test_the_number_of_partitions_follows_the_rows(tmp_path):
  sizes = [spill.Spill(tmp_path, rows).num_partitions for rows in
           (0, 1, 2_000_000, 5_000_000, 10**8, 10**12)]  # fmt: skip
  assert sizes == [1, 1, 1, 4, 64, 256]


def test_dropped_partitions_leave_no_file(tmp_path):
  events = spill.Spill(tmp_path, 1)
  events.add(pl.Series(["u"]), np.zeros(1, np.int32), np.zeros(1, np.int64))
  assert list(tmp_path.iterdir())
  events.drop(0)
  assert not list(tmp_path.iterdir())


def test_two_users_of_one_hash_are_noticed(tmp_path, monkeypatch):
  monkeypatch.setattr(
      splits, "stable_hashes", lambda texts: np.zeros(len(texts), np.uint64)
  )
  events = spill.Spill(tmp_path, 1)
  events.add(
      pl.Series(["u", "v"]), np.zeros(2, np.int32), np.zeros(2, np.int64)
  )
  with pytest.raises(RuntimeError, match="two user ids have the same 64-bit"):
    events.read(0)


_PAIRS = st.lists(
    st.tuples(st.text("ab\né", max_size=2), st.text("01", max_size=2)),
    max_size=20,
)


@given(st.lists(_PAIRS, max_size=4))
def test_final_codes_are_places_in_the_sorted_pairs(batches):
  table = spill.PairTable()
  codes = [
      table.encode(
          pl.DataFrame(
              batch,
              schema={"event_id": pl.String, "design_id": pl.String},
              orient="row",
          )
      )
      for batch in batches
  ]
  pairs, final = table.finish()
  assert pairs.rows() == sorted({pair for batch in batches for pair in batch})
  for batch, code in zip(batches, codes, strict=True):
    assert [pairs.row(place) for place in final[code]] == batch

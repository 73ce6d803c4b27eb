"""Rows from the log itself, as next map needs them."""

from hypothesis import given
from hypothesis import strategies as st
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.samples import History
from behavior_lm.data.samples import rows_from_log
from behavior_lm.data.samples import Samples
from behavior_lm.data.samples import splits
from behavior_lm.data.samples import vocabulary
from tests.data.samples import fake_log
from tests.data.samples.fake_log import FakeLog


@given(
    st.lists(
        st.tuples(
            st.sampled_from("ab"), st.integers(0, 30), st.integers(0, 11)
        ),
        max_size=40,
    ),
    st.integers(0, 30),
)
def test_every_event_of_the_ids_becomes_a_row_in_log_order(events, split_time):
  log = FakeLog([*events, ("a", 3, 4), ("b", 3, 9)], split_time)
  table = rows_from_log(History(log), ["e1", "e3"], label="map")
  want = [
      (user, fake_log.at(seconds), f"d{pair % 3}")
      for user, seconds, pair in log.events
      if pair // 3 in (1, 3)
  ]
  frame = table.frame
  times = splits.times_of(frame).tolist()
  assert want == list(
      zip(frame["user_id"], times, frame["label/map"], strict=True)
  )
  keys = [(user, time) for user, time, _ in want]
  tied = sum(keys.count(key) > 1 for key in keys)
  assert table.summary["tied_rows"] == tied
  without = [not log.before(u, (t - fake_log.START) / 1e6) for u, t in keys]
  assert table.summary["rows_without_history"] == sum(without)


def test_the_history_of_a_row_ends_before_the_second_of_its_event():
  # The event e2 announces the answer in the same second; an earlier e2 is
  # removed on demand.
  log = FakeLog(
      [("a", 1, 0), ("a", 2, 6), ("a", 2, 3), ("a", 5, 7), ("a", 5, 4)]
  )
  history = History(log)
  table = rows_from_log(history, ["e1"])
  known = vocabulary.fit(table)
  samples = Samples(table, history, vocabularies=known)
  assert [sample["pair"].tolist() for sample in samples] == [[0], [0, 6, 3]]
  assert [sample["label/next"] for sample in samples] == [0, 1]
  bare = Samples(table, history, vocabularies=known, excluded_events=["e2"])
  assert [sample["pair"].tolist() for sample in bare] == [[0], [0, 3]]


def test_leave_one_out_keeps_the_order_of_the_log_in_ties():
  log = FakeLog([("a", 1, 5), ("a", 1, 3), ("a", 1, 4)])
  table = rows_from_log(History(log), ["e1"])
  sides = splits.leave_one_out(table)
  labels = table.frame["label/next"]
  assert [labels[int(sides[n][0])] for n in ("train", "valid", "test")] == [
      "d2", "d0", "d1",
  ]  # fmt: skip


def test_an_event_that_the_log_does_not_have_is_refused():
  with pytest.raises(UserError, match="e77"):
    rows_from_log(History(FakeLog([("a", 1, 0)])), ["e77"])

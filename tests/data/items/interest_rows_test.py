import dataclasses

import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.items.histories import Histories
from behavior_lm.data.items.interest_rows import InterestRows
from behavior_lm.data.items.interest_rows import main_category
from behavior_lm.data.items.interest_rows import Spans
from behavior_lm.data.reading import Reading
from behavior_lm.logs import schema

DAY = 86_400_000_000
SIZES = (40, 1, 6, 130)
READING = Reading(
    gap_kind="previous",
    features=("kind", "from_start", "to_end"),
    columns=(("kind", schema.Extra(schema.CATEGORICAL, categories=9)),),
)
SPANS = Spans(100, 10, span_days=10.0, category="kind")


def histories(shift=0):
  total = sum(SIZES)
  return Histories(
      users=[f"u{n}" for n in range(len(SIZES))],
      offsets=np.concatenate([[0], np.cumsum(SIZES)]),
      tokens=(5 + np.arange(total) % 30).astype(np.int32),
      times=shift
      + np.concatenate([np.arange(n) for n in SIZES]) * DAY // 2,
      extras={"kind": (np.arange(total) % 9).astype(np.int32)},
  )


COUNTS = np.arange(30) + 1


def make(found=None, **options):
  return InterestRows(
      found or histories(), READING, SPANS, COUNTS, **options
  )


def events(row, prefix):
  """Tokens behind CLS."""
  inside = row[f"{prefix}segment_ids"] > 0
  tokens = row[f"{prefix}tokens"]
  assert tokens[0] == schema.CLS_ID and not tokens[~inside].any()
  np.testing.assert_array_equal(
      row[f"{prefix}positions"][inside], np.arange(inside.sum())
  )
  return tokens[inside][1:]


def test_the_last_tenth_of_a_history_is_the_short_sequence():
  rows = make(shuffle=False)
  assert rows.users.tolist() == [0, 2, 3]
  every = histories()
  for place, (long, short) in enumerate([(36, 4), (5, 1), (117, 13)]):
    row, whole = rows[place], every.items(rows.users[place])
    assert row["row_user"] == rows.users[place]
    assert row["long/tokens"].shape == (101,)
    assert row["short/tokens"].shape == (11,)
    # What a row has no room for is the oldest.
    np.testing.assert_array_equal(
        events(row, "long/"), whole[:long][-100:]
    )
    np.testing.assert_array_equal(
        events(row, "short/"), whole[long:][-10:]
    )
    assert short == len(whole) - long


def test_times_are_those_of_the_sequence_alone():
  row, moved = make()[0], make(histories(shift=777 * DAY))[0]
  for name, values in row.items():
    np.testing.assert_array_equal(values, moved[name], err_msg=name)
  rows = make(shuffle=False)
  row = rows[0]
  start, end = row["long/from_start"], row["long/to_end"]
  np.testing.assert_allclose(start[1:37], np.arange(36) * 0.05, atol=1e-6)
  np.testing.assert_allclose(end[1:37], start[1:37][::-1], atol=1e-6)
  assert np.isnan(start[[0, 37]]).all() and np.isnan(end[[0, 37]]).all()


def test_what_is_known_of_the_short_sequence():
  row = make(shuffle=False)[0]
  items = np.arange(36, 40) % 30
  np.testing.assert_allclose(
      row["short_popularity"], np.log1p(COUNTS[items]).mean(), rtol=1e-6
  )
  assert row["short_category"] == 1  # Of 0, 1, 2, 3; 0 is unknown.
  assert main_category(np.array([0, -1])) == -1


def test_random_parts_differ_between_epochs_and_are_repeatable():
  first, second = make(crop="random", seed=3), make(crop="random", seed=3)
  lengths = set()
  for index in range(30):
    row = first[index]
    size = len(events(row, "long/"))
    short = len(events(row, "short/"))
    user = int(row["row_user"])
    whole = histories().items(user)
    if user == 0:
      lengths.add(size)
    assert 1 <= short <= 10 and size + short <= len(whole)
    for name, values in second[index].items():
      np.testing.assert_array_equal(values, row[name])
  assert len(lengths) > 3


def test_given_cuts_choose_users_and_where_they_are_divided():
  rows = make(cuts={2: 2, 0: 7})
  [(users, batch)] = rows.batches(8)
  assert users.tolist() == [0, 2]
  sizes = (batch["long/segment_ids"] > 0).sum(1) - 1
  assert sizes.tolist() == [7, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"long_length": 99}, "long_length is 99, below the minimum of 100"),
        ({"short_length": 9}, "short_length is 9, below the minimum of 10"),
        ({"short_share": 1.0}, "short_share is 1.0"),
        ({"span_days": 0.0}, "span_days is 0.0"),
    ],
)
def test_wrong_spans_are_refused(change, message):
  with pytest.raises(ValueError, match=message):
    dataclasses.replace(SPANS, **change)


def test_users_with_one_event_have_no_two_sequences():
  found = histories()
  one = dataclasses.replace(
      found, users=["u1"], offsets=np.array([40, 41])
  )
  with pytest.raises(UserError, match="no user has two events"):
    make(one)

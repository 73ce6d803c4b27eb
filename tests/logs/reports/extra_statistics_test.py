"""Means and deviations agree with NumPy, however the events are cut up."""

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import polars as pl
import pytest

from behavior_lm.logs import schema
from behavior_lm.logs import sequences
from behavior_lm.logs import splits
from behavior_lm.logs.reports import extra_statistics

_KINDS = {"price": schema.NUMERIC, "shop": schema.CATEGORICAL}
_VALUES = st.lists(
    st.tuples(
        st.sampled_from(["train", "valid", "test"]),
        st.lists(
            st.tuples(
                st.just(float("nan")) | st.floats(-1e9, 1e9, width=32),
                st.integers(-1, 3),
            ),
            min_size=1,
            max_size=9,
        ),
    ),
    min_size=1,
    max_size=12,
)


def block(rows):
  """(split, [(price, shop)]) of each sequence -> a block of them."""
  lengths = [len(values) for _, values in rows]
  events = [event for _, values in rows for event in values]
  codes = np.array([splits.SPLITS.index(split) for split, _ in rows], np.int8)
  size = len(events)
  return sequences.Block(
      pair=np.zeros(size, np.int32),
      time=np.arange(size),
      split=np.repeat(codes, lengths),
      table=pl.DataFrame({
          "split": codes,
          "offset": np.cumsum(lengths) - lengths,
          "num_events": lengths,
      }),
      duplicates=0,
      extras={
          "price": np.array([price for price, _ in events]),
          "shop": np.array([shop for _, shop in events], np.int32),
      },
  )


def summary(blocks, rows, piece=4):
  found = extra_statistics.ExtraStatistics(_KINDS)
  for part in blocks:
    found.absorb(extra_statistics.measure(part, _KINDS, piece))
  events = {name: 0 for name, _ in rows}
  for name, values in rows:
    events[name] += len(values)
  return found.summary(events, {"shop": 4})


@given(_VALUES, st.data())
def test_the_numbers_of_train_are_those_of_numpy(rows, data):
  rows = [("train", [(float("nan"), -1)]), *rows]
  found = summary([block(rows)], rows)
  cut = data.draw(st.integers(1, len(rows)))
  parts = [rows[:cut], rows[cut:]] if cut < len(rows) else [rows]
  assert summary(map(block, parts), rows) == found
  by_split = {split: [] for split in found["price"]["splits"]}
  for split, events in rows:
    by_split[split] += events
  prices = np.array([price for price, _ in by_split["train"]])
  prices = prices[~np.isnan(prices)]
  price, shop = found["price"], found["shop"]
  assert price["count"] == len(prices)
  if len(prices):
    scale = np.abs(prices).max() + 1e-300
    assert abs(price["mean"] - prices.mean()) <= 1e-12 * scale
    assert abs(price["std"] - prices.std()) <= 1e-8 * scale
    assert (price["min"], price["max"]) == (prices.min(), prices.max())
  else:
    assert price["mean"] is price["std"] is price["min"] is None
  for split, events in by_split.items():
    missing = sum(np.isnan(price) for price, _ in events)
    assert price["splits"][split] == {"missing": missing}
    valued = [code for _, code in events if code >= 0]
    assert shop["splits"][split] == {
        "missing": len(events) - len(valued),
        "unknown_share": valued.count(0) / max(len(valued), 1),
    }
  assert shop["missing"] == shop["splits"]["train"]["missing"]
  assert shop["unknown_share"] == shop["splits"]["train"]["unknown_share"]


def test_a_long_sequence_of_large_numbers_keeps_its_deviation():
  """The sum of their squares would have no digit left for it."""
  prices = 2.0**40 + np.arange(1_000.0)
  rows = [("train", [(price, 1) for price in prices])]
  found = summary([block(rows)], rows, piece=64)["price"]
  assert found["mean"] == prices.mean()
  assert found["std"] == pytest.approx(prices.std(), rel=1e-6)

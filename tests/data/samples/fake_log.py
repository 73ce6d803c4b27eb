"""A prepared log in memory, and label tables for it."""

import numpy as np
import polars as pl

from behavior_lm.data.samples import SampleColumns

# Times of the tests are counted from here, in seconds.
START = 1_700_000_000_000_000
DAY = 10
NUM_PAIRS = 12


def at(seconds):
  """Seconds -> microseconds UTC."""
  return START + int(seconds * 1e6)


class CountingSource(list):
  """Counts how often each sequence is read."""

  def __init__(self, examples):
    super().__init__(examples)
    self.reads = []

  def __getitem__(self, index):
    self.reads.append(index)
    example = super().__getitem__(index)
    return {
        name: values.copy() if isinstance(values, np.ndarray) else values
        for name, values in example.items()
    }


class FakeLog:
  """Sequences of user-days of 10 seconds, in two splits by time.

  Args:
    events: (user, seconds, pair) in the order of the log.
    split_time: seconds; from then on events are in the split "test".
  """

  splits = ["train", "test"]

  def __init__(self, events, split_time=10**6):
    self.pairs = pl.DataFrame({
        "event_id": [f"e{pair // 3}" for pair in range(NUM_PAIRS)],
        "design_id": [f"d{pair % 3}" for pair in range(NUM_PAIRS)],
    })
    self.events = sorted(events, key=lambda event: event[:2])
    days = {}
    for user, seconds, pair in self.events:
      split = self.splits[seconds >= split_time]
      key = split, user, seconds // DAY
      days.setdefault(key, []).append((at(seconds), pair))
    self.examples = {name: [] for name in self.splits}
    # Sequences of the users alternate: their order is no order of users.
    for (split, user, _), found in sorted(
        days.items(), key=lambda item: (item[0][2], item[0])
    ):
      times, pairs = zip(*found, strict=True)
      self.examples[split].append({
          "user_id": user,
          "start": times[0],
          "pair": np.array(pairs, np.int32),
          "timestamp": np.array(times, np.int64),
          "price": np.array(pairs, np.float32) / 2,
      })
    self.sources = {
        name: CountingSource(found) for name, found in self.examples.items()
    }

  def sequences(self, split):
    found = self.examples[split]
    return pl.DataFrame(
        {
            "user_id": [example["user_id"] for example in found],
            "start": [example["start"] for example in found],
            "index": list(range(len(found))),
        },
        schema={
            "user_id": pl.String,
            "start": pl.Datetime("us", "UTC"),
            "index": pl.Int64,
        },
    )

  def source(self, split):
    return self.sources[split]

  def before(self, user, seconds, excluded=()):
    """[(microseconds, pair)] of a user strictly before a time, the slow way."""
    return [
        (at(when), pair)
        for who, when, pair in self.events
        if who == user
        and when < seconds
        and f"e{pair // 3}" not in excluded
    ]


def stamps(seconds):
  """Seconds or None -> a column of times with a zone."""
  values = [None if second is None else at(second) for second in seconds]
  return pl.Series(values, dtype=pl.Int64).cast(pl.Datetime("us", "UTC"))


def label_frame(rows, **columns):
  """(user, seconds) -> a frame with the label `bot`, alternating 0 and 1."""
  return pl.DataFrame(
      {
          "user_id": [user for user, _ in rows],
          "when": stamps([seconds for _, seconds in rows]),
          "bot": [number % 2 for number in range(len(rows))],
          **columns,
      },
      schema_overrides={"user_id": pl.String, "bot": pl.Int64},
  )


def declare(**changes):
  return SampleColumns(**dict(labels={"bot": "binary"}, time="when") | changes)

import numpy as np
import polars as pl
import pytest

from behavior_lm.data.labelled_rows import label_array
from behavior_lm.data.labelled_rows import labelled_rows
from behavior_lm.data.reading import Reading
from behavior_lm.data.samples import History
from behavior_lm.data.samples import read_table
from behavior_lm.data.samples import SampleColumns
from behavior_lm.data.samples import vocabulary
from behavior_lm.data.tokenizers.training import train_tokenizer
from behavior_lm.logs.dataset import open_dataset

LENGTH, SEGMENTS = 40, 3


@pytest.fixture(scope="module")
def samples(dataset_path):
  """A table with a label of each kind, of users whose history differs."""
  dataset = open_dataset(dataset_path)
  history = History(dataset)
  frame = pl.DataFrame({
      "user_id": [f"user{i}" for i in range(6)],
      "bot": [1, 0, None, 1, 0, 1],
      "kind": ["b", "a", "c", None, "a", "b"],
      "tags": ["x|y", "y", "|", "x", None, "x|y"],
      "spend": [1.5, None, 2.0, 0.0, -3.0, 1.0],
      "weight": [1.0, 2.0, 0.5, 1.0, 1.0, 1.0],
      "time": [f"2023-12-{9 + i % 3:02}T01:0{i}:00Z" for i in range(6)],
  })
  columns = SampleColumns(
      labels={
          "bot": "binary",
          "kind": "multi_class",
          "tags": "multi_label",
          "spend": "regression",
      },
      time="time",
      weight="weight",
  )
  table = read_table(frame, columns, history)
  tokenizer = train_tokenizer(
      dataset, kind="pair", vocab_size=100, sessions="none", sep_tokens=False,
      collapse_repeats=False, seed=0,
  )  # fmt: skip
  return history, table, tokenizer


def test_labels_stand_side_by_side_and_missing_ones_are_marked(samples):
  _, table, _ = samples
  rows = np.arange(len(table))
  known = vocabulary.fit(table)
  found = label_array(table, rows, known)
  assert found.dtype == np.float32 and found.shape == (6, 5)
  by_user = dict(zip(table.frame["user_id"], found, strict=True))
  np.testing.assert_array_equal(by_user["user0"], [1, 1, 1, 1, 1.5])
  np.testing.assert_array_equal(by_user["user2"], [-1, 2, 0, 0, 2])
  np.testing.assert_array_equal(by_user["user3"], [1, -1, 1, 0, 0])
  np.testing.assert_array_equal(by_user["user4"], [0, 0, -1, -1, -3])
  assert np.isnan(by_user["user1"][4])


def test_each_segment_is_the_history_of_its_sample(samples):
  history, table, tokenizer = samples
  rows = np.array([4, 0, 2, 5])
  labels = np.arange(8, dtype=np.float32).reshape(4, 2)
  source = labelled_rows(
      table,
      history,
      rows,
      labels,
      tokenizer,
      Reading(),
      max_length=LENGTH,
      max_segments=SEGMENTS,
      train=False,
  )
  units = tokenizer.unit_table(history.pairs)
  users = table.frame["user_id"].gather(rows)
  times = table.frame["sample/time"].to_physical().gather(rows)
  seen = []
  for row in (source[i] for i in range(len(source))):
    assert row["labels"].shape == (SEGMENTS, 2)
    for segment in range(SEGMENTS):
      place = row["sample"][segment]
      inside = row["segment_ids"] == segment + 1
      if place < 0:
        assert not inside.any() and not row["weights"][segment]
        assert np.isnan(row["labels"][segment]).all()
        continue
      seen.append(int(place))
      np.testing.assert_array_equal(row["labels"][segment], labels[place])
      code = int(history.codes(users[[int(place)]])[0])
      events = history.before(code, times[int(place)], max_events=LENGTH - 1)
      assert (events["timestamp"] < times[int(place)]).all()
      want = tokenizer.tokenise(units[events["pair"]], events["timestamp"])
      np.testing.assert_array_equal(row["tokens"][inside][1:], want.ids)
      weight = table.frame["sample/weight"][int(rows[place])]
      assert row["weights"][segment] == weight
  # The first user's row is before its first event: it has no history.
  there = [i for i in range(4) if times[i] > history.first_events(
      history.codes(users[[i]])
  )[0]]
  assert sorted(seen) == there


def test_training_rows_go_on_without_end(samples):
  history, table, tokenizer = samples
  source = labelled_rows(
      table,
      history,
      np.arange(6),
      np.zeros((6, 1), np.float32),
      tokenizer,
      Reading(),
      max_length=LENGTH,
      max_segments=1,
  )
  per_epoch = source.rows_per_epoch
  first = [int(source[i]["sample"][0]) for i in range(per_epoch)]
  second = [int(source[per_epoch + i]["sample"][0]) for i in range(per_epoch)]
  assert sorted(first) == sorted(second)

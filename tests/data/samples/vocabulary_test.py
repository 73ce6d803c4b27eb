"""Classes come from the training rows alone."""

import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.samples import History
from behavior_lm.data.samples import read_table
from behavior_lm.data.samples import Samples
from behavior_lm.data.samples import vocabulary
from behavior_lm.data.samples.vocabulary import MISSING
from behavior_lm.data.samples.vocabulary import UNSEEN
from tests.data.samples.fake_log import declare
from tests.data.samples.fake_log import FakeLog

HISTORY = History(FakeLog([("a", s, 1) for s in range(9)]))


def table_of(kind, values, **changes):
  frame = pl.DataFrame({
      "user_id": ["a"] * len(values),
      "when": np.arange(len(values)) + 1_700_000_001,
      "class": values,
  })
  return read_table(frame, declare(labels={"class": kind}, **changes), HISTORY)


@pytest.mark.parametrize(
    ("values", "want"),
    [
        (["10", "9", "9", None], ["9", "10"]),
        (["m10", "m9"], ["m10", "m9"]),
        ([2.0, 1.0, 0.5], ["0.5", "1", "2"]),
        (["+1", "1"], ["+1", "1"]),
    ],
)
def test_classes_are_sorted_as_numbers_where_all_are(values, want):
  table = table_of("multi_class", values)
  assert vocabulary.fit(table) == {"label/class": want}


def test_classes_out_of_the_training_rows_are_unseen_and_counted():
  table = table_of("multi_class", ["x", "y", None, "z", "z"])
  known = vocabulary.fit(table, np.array([0, 1]))
  samples = Samples(table, HISTORY, vocabularies=known)
  assert [sample["label/class"] for sample in samples] == [
      0, 1, MISSING, UNSEEN, UNSEEN,
  ]  # fmt: skip
  assert samples.num_unseen == {"label/class": 2}


def test_sets_keep_the_known_classes_and_count_the_rest():
  table = table_of("multi_label", ["x|y", "y", "z|y", None, "|"])
  known = vocabulary.fit(table, np.array([0, 1]))
  samples = Samples(table, HISTORY, vocabularies=known)
  assert [sample["label/class"].tolist() for sample in samples] == [
      [1, 1], [0, 1], [0, 1], [MISSING, MISSING], [0, 0],
  ]  # fmt: skip
  assert samples.num_unseen == {"label/class": 1}


def test_classes_without_a_vocabulary_are_refused():
  with pytest.raises(UserError, match="vocabulary"):
    Samples(table_of("multi_class", ["x"]), HISTORY)


def test_training_rows_without_any_class_are_refused():
  table = table_of("multi_class", ["x", None])
  with pytest.raises(UserError, match="no training row"):
    vocabulary.fit(table, np.array([1]))

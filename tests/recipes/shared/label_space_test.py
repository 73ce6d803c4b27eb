import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.samples import SampleColumns
from behavior_lm.data.samples import SampleTable
from behavior_lm.recipes.shared.label_space import LabelSpace


def make_table():
  columns = SampleColumns(
      labels={"bot": "binary", "kind": "multi_class", "spend": "regression"}
  )
  frame = pl.DataFrame({
      "label/bot": pl.Series([1, 0, 0, 0, None], dtype=pl.Int8),
      "label/kind": ["b", "a", "a", "c", None],
      "label/spend": [1.0, 3.0, None, 5.0, 9.0],
  })
  return SampleTable(columns, frame, {}, pl.DataFrame())


def test_what_is_learned_is_normalised_and_what_is_said_is_not():
  table = make_table()
  rows = np.arange(4)
  space = LabelSpace.fit(table, rows)
  assert space.num_outputs == 1 + 3 + 1 and space.num_columns == 3
  labels = space.encode(table, np.arange(5))
  np.testing.assert_array_equal(labels[:, 2], [1, 3, np.nan, 5, 9])
  normal = space.normalise(labels)
  np.testing.assert_array_equal(normal[:, :2], labels[:, :2])
  # Of the training rows, that is without the last one.
  assert np.nanmean(normal[:4, 2]) == pytest.approx(0, abs=1e-6)
  assert np.nanstd(normal[:4, 2]) == pytest.approx(1, rel=1e-5)
  outputs = np.zeros((5, 5), np.float32)
  outputs[:, 4] = normal[:, 2]
  said = space.decode(outputs)
  np.testing.assert_allclose(said["spend"], labels[:, 2], rtol=1e-5)
  np.testing.assert_allclose(said["kind"], 1 / 3, rtol=1e-5)


def test_balanced_classes_weigh_the_same_together():
  table = make_table()
  space = LabelSpace.fit(table, np.arange(4), class_weights="balanced")
  bot, kind, spend = space.targets
  counts = np.array([3, 1])
  np.testing.assert_allclose(counts * bot.class_weights, 2.0)
  np.testing.assert_allclose(np.array([2, 1, 1]) * kind.class_weights, 4 / 3)
  assert spend.class_weights == ()


def test_a_saved_space_is_read_back(tmp_path):
  space = LabelSpace.fit(
      make_table(),
      np.arange(4),
      class_weights="balanced",
      weights={"kind": 0.5},
  )
  space.save(tmp_path)
  assert LabelSpace.load(tmp_path) == space
  assert space.targets[1].weight == 0.5


def test_labels_without_a_difference_are_refused():
  table = make_table()
  with pytest.raises(UserError, match="'bot': all 3 training rows are of one"):
    LabelSpace.fit(table, np.array([1, 2, 3]))
  with pytest.raises(UserError, match="'spend': the training rows have 1"):
    LabelSpace.fit(table, np.array([0, 2]))
  with pytest.raises(UserError, match="a weight for the label 'age'"):
    LabelSpace.fit(table, np.arange(4), weights={"age": 1.0})


def test_a_folder_that_was_not_fine_tuned_or_is_damaged_is_refused(tmp_path):
  with pytest.raises(UserError, match="this run was not fine-tuned"):
    LabelSpace.load(tmp_path)
  (tmp_path / "labels.json").write_text("{}")
  with pytest.raises(UserError, match="labels.json: is damaged"):
    LabelSpace.load(tmp_path)

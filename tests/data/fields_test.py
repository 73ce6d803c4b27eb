import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data import fields
from behavior_lm.data.reading import Reading
from behavior_lm.data.reading import SEQUENCE
from behavior_lm.data.time_features import event_features
from behavior_lm.data.time_features import NAMES
from behavior_lm.data.time_features import OF_SEQUENCE
from behavior_lm.data.time_features import OF_SPAN
from behavior_lm.logs.readers.columns import RESERVED


def test_no_extra_column_of_a_log_can_have_the_name_of_a_field():
  assert set(fields.FIELDS) <= RESERVED
  assert set(fields.FEATURES) == {*NAMES, *OF_SEQUENCE, *OF_SPAN}


def test_the_table_says_what_the_features_are():
  made = event_features(np.arange(3) * 10**7, NAMES, first_event=0)
  for name, values in made.items():
    assert values.dtype == fields.FIELDS[name].dtype, name
  for name in ("hour", "weekday", "weekend"):
    assert values_fit(made[name], fields.FIELDS[name].categories)


def values_fit(values, categories):
  return ((values >= 0) & (values < categories)).all()


def test_shapes_follow_the_axis_of_each_field():
  shapes = fields.batch_shapes(
      ["tokens", "labels", "domain", "level", "short/tokens"],
      Reading(features=("level",)).table,
      batch_size=2,
      max_length=7,
      max_segments=3,
  )
  assert {name: shape for name, (shape, _) in shapes.items()} == {
      "tokens": (2, 7),
      "labels": (2, 3),
      "domain": (2,),
      "level": (2, 7),
      "short/tokens": (2, 7),
  }
  assert shapes["level"][1] == np.float32 and shapes["tokens"][1] == np.int32


def test_an_unknown_field_is_an_error_that_lists_the_known_ones():
  with pytest.raises(UserError, match="'colour' is unknown.*tokens"):
    fields.find_field("colour")


def test_what_is_hidden_reads_like_nothing():
  table = Reading(features=("hour", "level", "times")).table
  names = ("tokens", "time_gaps", "times", "hour", "level")
  batch = {
      name: np.ones((1, 3), table[name].dtype) for name in (*names, "sequence")
  }
  masked = np.asarray([[False, True, False]])
  out = fields.hide(batch, masked, names, table)
  assert tuple(out) == names
  assert out["tokens"].tolist() == [[1, 1, 1]]  # [MASK] is 1
  assert out["time_gaps"].tolist() == out["hour"].tolist() == [[1, -1, 1]]
  np.testing.assert_array_equal(out["level"], [[1, np.nan, 1]])
  assert out["times"].tolist() == [[1, 1, 1]]  # stays visible
  assert all(out[name].dtype == batch[name].dtype for name in names)


def test_padding_is_the_fields_own():
  table = Reading(features=("level",)).table
  assert np.isnan(fields.padding("level", (2,), table)).all()
  assert fields.padding("time_gaps", (2, 1), table).tolist() == [[-1], [-1]]


def test_a_category_column_has_ids():
  field = fields.categorical_field(9)
  assert field.categories == 9 and field.dtype == "int32" and field.pad == -1
  assert set(SEQUENCE) <= set(fields.FIELDS)

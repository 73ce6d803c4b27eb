import datetime
import types

import numpy as np
import pandas as pd
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.inference.values import design_text
from behavior_lm.inference.values import microseconds

UTC = datetime.UTC


def test_times_of_every_kind_are_microseconds():
  want = [1_577_836_800_000_000, 1_577_836_800_250_000]
  east = datetime.timezone(datetime.timedelta(hours=8))
  aware = [
      datetime.datetime(2020, 1, 1, 8, tzinfo=east),
      datetime.datetime(2020, 1, 1, 0, 0, 0, 250_000, tzinfo=UTC),
  ]
  naive = [m.astimezone(UTC).replace(tzinfo=None) for m in aware]
  for times in (
      aware,
      naive,
      tuple(naive),
      np.array(aware, object),
      np.array(naive, "datetime64[us]"),
      np.array(naive, "datetime64[ns]"),
      list(np.array(naive, "datetime64[ms]")),
      want,
      np.array(want),
      np.array(want, np.uint64),
  ):
    got = microseconds(times, "it")
    assert got.dtype == np.int64
    np.testing.assert_array_equal(got, want)
  before_1970 = [datetime.datetime(1969, 12, 31, 23, 59, 59, 999_999)]
  np.testing.assert_array_equal(microseconds(before_1970, "it"), [-1])


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([1_577_836_800], "seem.* to be seconds; multiply them by 1,000,000"),
        ([1_577_836_800_000], "to be milliseconds"),
        ([0, 1_577_836_800, 1_577_836_900], "1577836850 seems to be seconds"),
        ([0, 0, 0, 1_577_836_800], "to be seconds"),
        ([1_577_836_800_000_000, 1_577_836_800_001, 1_577_836_800_002],
         "to be milliseconds"),
        ([1_577_836_800_000_000_000], "to be nanoseconds"),
        ([1.5], "cannot read timestamps such as .*1.5"),
        (["2020-01-01"], "cannot read timestamps such as .*2020-01-01"),
        ([True], "cannot read timestamps"),
        ([datetime.datetime(2020, 1, 1), None], "event 1 has no timestamp"),
        ([datetime.date(2020, 1, 1)], "cannot read timestamps"),
        ([None], "event 0 has no timestamp"),
        (np.array(["2020-01-01", "NaT"], "datetime64[s]"), "event 1 has no"),
        (np.zeros((2, 2), np.int64), "timestamps have shape \\(2, 2\\)"),
        (types.SimpleNamespace(), "holds a SimpleNamespace"),
    ],
)
def test_times_that_cannot_be_read_are_errors(times, message):
  with pytest.raises(UserError, match=f"^user 3: .*{message}"):
    microseconds(times, "user 3")


@pytest.mark.parametrize("value", [None, float("nan"), pd.NaT, pd.NA])
def test_a_design_that_is_not_there_is_no_design(value):
  assert design_text(value, 0, "s") == "0"


@pytest.mark.parametrize("value", [None, float("nan"), pd.NaT, pd.NA])
def test_a_time_that_is_not_there_is_named_by_its_place(value):
  now = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
  with pytest.raises(UserError, match="event 1 has no timestamp"):
    microseconds([now, value], "sequence 0")

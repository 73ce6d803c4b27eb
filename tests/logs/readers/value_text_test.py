"""One value has one text, whatever its neighbours, its type or its file."""

import datetime
import decimal
import math

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import polars as pl
import pytest

from behavior_lm.logs.readers import value_text
from tests.logs.support import log_files

_D = decimal.Decimal
_VALUES = [
    (1.0, "1"), (2.5, "2.5"), (-0.0, "0"), (1e20, "1" + "0" * 20),
    (1e-7, "0.0000001"), (123456789.125, "123456789.125"), (0.1, "0.1"),
    (math.nan, None), (None, None), (-3.0, "-3"), (2.0**53, str(2**53)),
]  # fmt: skip


@pytest.mark.parametrize(("value", "want"), _VALUES)
def test_the_text_of_a_float_does_not_depend_on_its_neighbours(value, want):
  others = [other for other, _ in _VALUES]
  for batch in ([value], [value, 2.5], [value, 1e20], [value, *others]):
    found = value_text.of_series(pl.Series(batch, dtype=pl.Float64))
    assert found[0] == want


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_a_float_and_its_json_have_one_text(values):
  alone = [value_text.of_float(value) for value in values]
  assert value_text.of_series(pl.Series(values)).to_list() == alone
  assert [float(text) for text in alone] == values
  assert not any("e" in text or text == "-0" for text in alone)


@pytest.mark.parametrize(
    ("values", "want"),
    [
        ([True, False, None], ["true", "false", None]),
        ([_D("1.50"), _D("10.00"), None], ["1.5", "10", None]),
        ([_D("100"), _D("0")], ["100", "0"]),
        ([_D("-0.00"), _D("0.01")], ["0", "0.01"]),
        (np.array([0.1, 2.0, 3.5], np.float32), ["0.1", "2", "3.5"]),
        ([2**63 - 1, -5], [str(2**63 - 1), "-5"]),
        (["1.0", "-0", "1e3", " a"], ["1.0", "-0", "1e3", " a"]),
        ([datetime.date(2024, 6, 1)], ["2024-06-01"]),
    ],
)
def test_the_texts_of_other_types(values, want):
  assert value_text.of_series(pl.Series(values)).to_list() == want


@pytest.mark.parametrize(
    ("value", "want"),
    [
        ({"$oid": "5f"}, "5f"),
        ({"$numberLong": "12"}, "12"),
        ({"$date": {"$numberLong": "1717200000000"}}, "1717200000000"),
        ({"$date": "2024-06-01T00:00:00Z"}, "2024-06-01T00:00:00Z"),
        ({"$numberDecimal": "1.50"}, "1.5"),
        ({"$numberDecimal": "1E+3"}, "1000"),
        ({"$numberDecimal": "1E+999999999"}, "inf"),
        ({"$numberDouble": "-0.0"}, "0"),
        ({"$numberDouble": "5.0"}, "5"),
        ({"$numberDouble": 0.1}, "0.1"),
        ({"$numberDouble": "NaN"}, None),
        ({"$numberDouble": "-Infinity"}, "-inf"),
        ({"$numberDecimal": [1]}, [1]),
        ({"a": 1}, {"a": 1}),
        ({"$oid": "5f", "x": 1}, {"$oid": "5f", "x": 1}),
        ("$oid", "$oid"),
    ],
)
def test_what_document_stores_wrap_is_unwrapped(value, want):
  assert value_text.unwrapped(value) == want


_LINE = '{{"user_id":"u","event_id":"e","design_id":{},"timestamp":1717200000}}'


def designs_of(log, out):
  dataset = log_files.prepared(log, out)
  return log_files.events_of(dataset)["design_id"].to_list()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("written", "want"),
    [
        ("1.0", "1"), ("-0.0", "0"), ("-0", "0"), ("1e3", "1000"),
        ("true", "true"), ('"1.0"', "1.0"), ('"-0"', "-0"),
        ("12345678901234567890123", "12345678901234567890123"),
        ('{"$oid":"5f"}', "5f"), ('{"$numberLong":"7"}', "7"),
        ("1e-7", "0.0000001"),
    ],  # fmt: skip
)
def test_json_ids_read_the_fast_and_the_slow_way_have_one_text(
    tmp_path, written, want
):
  line = _LINE.format(written)
  (tmp_path / "a.jsonl").write_text(f"{line}\n" * 3)
  wrapped = _LINE.format('{"$oid":"x"}')  # Read the slow way.
  (tmp_path / "b.jsonl").write_text(f"{line}\n{wrapped}\n")
  assert designs_of(tmp_path / "a.jsonl", tmp_path / "a") == [want] * 3
  assert designs_of(tmp_path / "b.jsonl", tmp_path / "b") == [want, "x"]


def test_an_object_as_an_id_is_rejected_by_name(tmp_path):
  lines = [_LINE.format('"d"')] * 300
  lines[5] = _LINE.format('{"a":1}')
  (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
  dataset = log_files.prepared(tmp_path / "a.jsonl", tmp_path / "out")
  assert log_files.reasons(dataset) == [(6, "design_id is an object or a list")]

"""Tables of other libraries are read as a Polars frame is."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.reading import Reading
from behavior_lm.data.tokenizers.pair import PairTokenizer
from behavior_lm.inference.frames import cut_frame
from behavior_lm.inference.sequences import Reader
from behavior_lm.inference.tables import as_frame

READER = Reader(PairTokenizer(["a", "b"], [("a", "1")]), Reading())
TIMES = [datetime.datetime(2020, 1, day) for day in (1, 2, 3)]
COLUMNS = {
    "user_id": ["u", "u", "v"],
    "event_id": ["a", "b", "a"],
    "design_id": ["1", None, "1"],
    "timestamp": TIMES,
}
PANDAS = pd.DataFrame(COLUMNS)
ROWS = pl.DataFrame(COLUMNS).to_dicts()


def read(events):
  table, sequences = cut_frame(as_frame(events), READER)
  return table, [list(s["tokens"]) for s in sequences]


@pytest.mark.parametrize(
    "events",
    [
        PANDAS,
        PANDAS.convert_dtypes(),
        PANDAS.astype({"user_id": "category"}),
        PANDAS.assign(design_id=["1", np.nan, "1"]),
        PANDAS.assign(timestamp=PANDAS["timestamp"].dt.tz_localize("UTC")),
        PANDAS.assign(
            timestamp=PANDAS["timestamp"]
            .dt.tz_localize("UTC")
            .dt.tz_convert("Asia/Shanghai")
        ),
        ROWS,
        tuple(ROWS),
    ],
)
def test_a_table_reads_as_its_polars_frame(events):
  want, tokens = read(pl.DataFrame(COLUMNS))
  found, same = read(events)
  assert found.equals(want) and same == tokens


def test_numbers_as_ids_stay_whole():
  found, _ = read(PANDAS.assign(user_id=[7, 7, 10**17 + 1]))
  assert found["user_id"].to_list() == ["7", str(10**17 + 1)]


@pytest.mark.parametrize(
    ("events", "message"),
    [
        (PANDAS.assign(event_id=["a", None, "b"]), "1 nulls, .* in row 1"),
        (PANDAS.assign(event_id=["a", pd.NA, "b"]), "1 nulls, .* in row 1"),
        (
            PANDAS.assign(timestamp=[TIMES[0], pd.NaT, TIMES[1]]),
            "'timestamp' of the frame has 1 nulls, the first in row 1",
        ),
        (PANDAS.assign(event_id=["a", 2, 3.5]), "several kinds"),
        (PANDAS.assign(event_id=[1.0, 2.0, 3.5]), "Float64"),
        (PANDAS.drop(columns="event_id"), "no column 'event_id'"),
        ([*ROWS, {"user_id": "w"}], "1 nulls, the first in row 3"),
    ],
)
def test_what_a_table_lacks_is_named(events, message):
  with pytest.raises(UserError, match=message):
    read(events)


@pytest.mark.parametrize("events", [["a", "b"], [], [{"event_id": ["a"]}], "x"])
def test_what_is_no_table_is_left_to_others(events):
  assert as_frame(events) is None

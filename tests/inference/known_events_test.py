"""Events that a model never saw are named, in whatever form they come."""

import warnings

import polars as pl
import pytest

from behavior_lm.data.reading import Reading
from behavior_lm.data.tokenizers.pair import PairTokenizer
from behavior_lm.inference.frames import cut_frame
from behavior_lm.inference.sequences import Reader

_PAIRS = [("fight", "7"), ("fight", "8"), ("shop", "0")]


def read(items):
  reader = Reader(PairTokenizer(["fight"], _PAIRS), Reading())
  if isinstance(items, pl.DataFrame):
    items = cut_frame(items, reader)[1]
    return list(items)
  return list(reader.read_all(items))


@pytest.mark.parametrize(
    ("items", "told"),
    [
        ([["login", "quit"], ["shop"]], "66.7% not at all"),
        ([["fight", "fight"]], "100.0% by their event alone"),
        ([[("fight", "9"), ("fight", "10")]], "knows 0.0% with their design"),
        ([["Shop", "shop "]], "100.0% not at all"),
        (
            pl.DataFrame({
                "user_id": ["u"], "event_id": ["x"], "timestamp": [10**15]
            }),
            "100.0% not at all",
        ),
    ],
)  # fmt: skip
def test_events_that_a_model_does_not_know_are_told_once(items, told):
  with pytest.warns(UserWarning, match=told) as found:
    read(items)
  assert len(found) == 1


def test_events_that_it_knows_are_not_told():
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    read([["shop"] * 9, [("fight", "7"), ("fight", "9")], ["login"]])
    read([])

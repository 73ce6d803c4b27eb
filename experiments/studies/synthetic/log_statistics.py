"""What a log looks like, in numbers that two logs can be compared by."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from behavior_lm.baselines.ngrams import NGramModel
from behavior_lm.logs import schema
from experiments.studies.tokenizers import bpe_statistics

# Days at the end of a log on which n-grams are tested.
TEST_DAYS = 4
VOCAB_SIZE = 7_000
BPE_SIZES = (8_000, 20_000, 50_000)
# What `compare` calls near: a ratio of 1 give or take so much.
NEAR = 0.25
# No BPE piece crosses a longer gap.
_SESSION_GAP_S = 300
_ORDERS = (1, 2, 3, 5)
_DAY_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
_GAP_QUANTILES = (0.5, 0.75, 0.9, 0.95, 0.99, 0.999)
_GROWTH = (10_000, 100_000, 1_000_000)
_DAY, _PAIR, _CODE = "day", "pair", "code"


def log_statistics(
    events: pl.DataFrame,
    *,
    test_days: int = TEST_DAYS,
    vocab_size: int = VOCAB_SIZE,
    bpe_sizes: Sequence[int] = BPE_SIZES,
) -> dict[str, float]:
  """Lengths, gaps, vocabulary, predictability and compression of a log.

  A pair is (event, design). Days are UTC; a day's events are one sequence:
  gaps and n-gram contexts do not cross midnight. The n-gram vocabulary is the
  `vocab_size` most frequent pairs of the train days and UNK; BPE tells at most
  half as many apart as it has pieces, and restarts after gaps of 5 minutes.

  Args:
    events: canonical event table.
    test_days: the last ones; the days before are for training.
    vocab_size: most frequent pairs that n-grams tell apart.
    bpe_sizes: pieces of the BPE models, one line each.

  Returns:
    name -> value; sizes beyond the length of the log are left out.

  Raises:
    ValueError: if there are no days to train on.
  """
  events = events.sort(schema.USER_ID, schema.TIMESTAMP, maintain_order=True)
  pair = pl.struct(schema.EVENT_ID, schema.DESIGN_ID)
  events = events.with_columns(
      pl.col(schema.TIMESTAMP).dt.date().alias(_DAY),
      # Codes in order of ids: nothing depends on the order of rows.
      pair.rank("dense").alias(_PAIR).cast(pl.Int64),
  )
  return {
      **_length_statistics(events),
      **_gap_statistics(events),
      **_vocabulary_statistics(events),
      **_prediction_statistics(events, test_days, vocab_size, bpe_sizes),
  }


def compare(
    real: dict[str, float], other: dict[str, float]
) -> list[dict[str, Any]]:
  """Rows of statistic, real, other, ratio, near; ratio None where real is 0.

  `near`: the ratio is within 1 - NEAR .. 1 + NEAR; of zeros, both are 0.
  """
  return [
      {
          "statistic": name,
          "real": value,
          "other": other[name],
          "ratio": other[name] / value if value else None,
          "near": abs(other[name] - value) <= NEAR * abs(value),
      }
      for name, value in real.items()
      if name in other
  ]


def _length_statistics(events: pl.DataFrame) -> dict[str, float]:
  days = events.group_by(schema.USER_ID, _DAY).agg(
      pl.len().alias("events"), pl.col(_PAIR).n_unique()
  )
  length = days["events"].to_numpy()
  return {
      "events a user-day, mean": float(length.mean()),
      **{
          f"events a user-day, {_percent(q)}": float(np.quantile(length, q))
          for q in _DAY_QUANTILES
      },
      "distinct pairs a user-day, mean": float(days[_PAIR].to_numpy().mean()),
  }


def _gap_statistics(events: pl.DataFrame) -> dict[str, float]:
  gap = events.select(
      pl.col(schema.TIMESTAMP).diff().over(schema.USER_ID, _DAY).alias("gap")
  )
  micros = gap["gap"].drop_nulls().dt.total_microseconds().to_numpy()
  seconds = micros / 1e6
  return {
      "gaps of 0 s, share": float((seconds == 0).mean()),
      "gaps up to 10 s, share": float((seconds <= 10).mean()),
      **{
          f"gap in s, {_percent(q)}": float(np.quantile(seconds, q))
          for q in _GAP_QUANTILES
      },
  }


def _vocabulary_statistics(events: pl.DataFrame) -> dict[str, float]:
  in_time = events.sort(schema.TIMESTAMP, maintain_order=True)[_PAIR]
  codes = in_time.to_numpy()
  counts = np.sort(np.bincount(codes))[::-1]
  statistics = {
      f"distinct pairs after {size:,} events": float(
          np.unique(codes[:size]).size
      )
      for size in _GROWTH
      if size <= codes.size
  }
  statistics["distinct pairs, all events"] = float(np.count_nonzero(counts))
  statistics |= {
      f"share of the {top} most frequent pairs": float(
          counts[:top].sum() / codes.size
      )
      for top in (1, 20, 100)
  }
  without = (events[schema.DESIGN_ID] == schema.NO_DESIGN).to_numpy()
  statistics["events without a design, share"] = float(without.mean())
  return statistics


def _prediction_statistics(
    events: pl.DataFrame,
    test_days: int,
    vocab_size: int,
    bpe_sizes: Sequence[int],
) -> dict[str, float]:
  days = events[_DAY].unique().sort()
  if len(days) <= test_days:
    raise ValueError(
        f"{len(days)} days of logs leave none to train on before the last"
        f" {test_days}"
    )
  is_test = pl.col(_DAY) >= days[-test_days]
  top = (
      events.filter(~is_test)[_PAIR]
      .value_counts()
      .sort("count", _PAIR, descending=[True, False])
      .head(vocab_size)
      .with_row_index(_CODE)
  )
  unknown = top.height
  coded = events.join(
      top.select(_PAIR, pl.col(_CODE).cast(pl.Int64)),
      on=_PAIR,
      how="left",
      maintain_order="left",
  ).with_columns(pl.col(_CODE).fill_null(unknown))
  train, test = coded.filter(~is_test), coded.filter(is_test)
  known = float((test[_CODE] != unknown).to_numpy().mean())
  statistics = {
      f"test events in a vocabulary of {vocab_size:,}, share": known
  }
  any_gap = pl.duration(days=1)
  day_lines = _lines(train, any_gap), _lines(test, any_gap)
  for order in _ORDERS:
    model = NGramModel(order, unknown + 1).fit(day_lines[0])
    statistics[f"{order}-gram perplexity"] = model.perplexity(day_lines[1])
  longest = pl.duration(seconds=_SESSION_GAP_S)
  for size in bpe_sizes:
    name = f"BPE of {size:,}, events a token of the test days"
    statistics[name] = bpe_statistics.bpe_compression(
        _lines(train, longest),
        _lines(test, longest),
        vocab_size=size,
        alphabet_size=min(unknown + 1, size // 2),
    )
  return statistics


def _lines(coded: pl.DataFrame, longest_gap: pl.Expr) -> list[np.ndarray]:
  """The codes of each user-day, cut where a gap is longer than that."""
  gap = pl.col(schema.TIMESTAMP).diff().over(schema.USER_ID, _DAY)
  begins = coded.select((gap.is_null() | (gap > longest_gap)).alias(_CODE))
  rows = np.flatnonzero(begins[_CODE].to_numpy())
  return np.split(coded[_CODE].to_numpy(), rows[1:])


def _percent(quantile: float) -> str:
  return f"p{100 * quantile:g}"

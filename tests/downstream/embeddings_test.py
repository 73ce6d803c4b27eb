"""Tests for one vector per user."""

import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.downstream.embeddings import read_user_embeddings


def frame(**columns):
  data = {
      "user_id": ["b", "a", "b"],
      "start": [None] * 3,
      "num_events": [1, 5, 3],
      "embedding": [[1.0, 0.0], [7.0, 8.0], [5.0, 4.0]],
  }
  return pl.DataFrame(data | columns)


@pytest.mark.parametrize(
    "dtype", [pl.List(pl.Float32), pl.Array(pl.Float32, 2), pl.List(pl.Float64)]
)
def test_days_of_a_user_are_averaged_by_their_events(tmp_path, dtype):
  path = tmp_path / "days.parquet"
  frame().cast({"embedding": dtype}).write_parquet(path)
  got = read_user_embeddings(path)
  assert got.users == ["a", "b"]
  np.testing.assert_allclose(got.vectors, [[7, 8], [4, 3]])
  assert got.vectors.dtype == np.float32
  assert got.num_events.tolist() == [5, 4]


def test_rows_that_cannot_be_averaged_are_named(tmp_path):
  path = tmp_path / "bad.parquet"
  frame(num_events=[1, 0, 2]).write_parquet(path)
  with pytest.raises(UserError, match="num_events below 1"):
    read_user_embeddings(path)
  frame().clear().write_parquet(path)
  with pytest.raises(UserError, match="holds no embedding"):
    read_user_embeddings(path)

"""Tests for the sample of vectors."""

import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.reporting.vectors import read_vectors
from tests.reporting.example_run import write_embeddings


def test_all_rows_of_a_small_table_are_taken(tmp_path):
  path = tmp_path / "a.parquet"
  users = write_embeddings(path)
  vectors = read_vectors(path)
  assert vectors.values.shape == (120, 12)
  assert vectors.total_rows == 120
  assert vectors.all_users == tuple(sorted(users))
  assert vectors.settings["pooling"] == "mean"


def test_the_sample_does_not_depend_on_the_order_of_the_rows(tmp_path):
  path, shuffled = tmp_path / "a.parquet", tmp_path / "b.parquet"
  write_embeddings(path)
  table = pl.read_parquet(path)
  table.sample(fraction=1.0, shuffle=True, seed=3).write_parquet(shuffled)
  first, second = read_vectors(path, most=50), read_vectors(shuffled, most=50)
  assert len(first.users) == 50
  assert first.users == second.users
  np.testing.assert_array_equal(first.values, second.values)
  of_user = dict(table.select("start", "num_events").iter_rows())
  assert len(of_user) == 120
  kept = table.filter(pl.col("user_id").is_in(first.users))
  for user, count, value in zip(
      first.users, first.num_events, first.values, strict=True
  ):
    row = kept.filter(user_id=user, num_events=count)
    assert value.tolist() in row["embedding"].to_list()


def test_an_empty_table_is_named(tmp_path):
  path = tmp_path / "a.parquet"
  write_embeddings(path)
  pl.read_parquet(path).clear().write_parquet(path)
  with pytest.raises(UserError, match="holds no rows"):
    read_vectors(path)

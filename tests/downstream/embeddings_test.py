"""Embedding files."""

import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.downstream.embeddings import read_user_embeddings


def frame(**columns):
  data = {
      "user_id": ["b", "a", "b"],
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


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(embedding=[[1.0], [1.0, 2.0], [1.0]]), "lengths .1, 2. in one"),
        (dict(embedding=[[1.0], [np.nan], [np.inf]]), "2 vectors are not fin"),
        (dict(embedding=[1.0, 2.0, 3.0]), "not lists of floats"),
        (dict(embedding=[["x"], ["y"], ["z"]]), "not lists of floats"),
        (dict(embedding=[[1.0], None, [2.0]]), "'embedding' has empty cells"),
        (dict(embedding=[[1.0], [None], [2.0]]), "1 vectors are not finite"),
        (dict(num_events=[1, 0, 2]), "num_events below 1"),
        (dict(user_id=["a", None, "b"]), "'user_id' has empty cells"),
    ],
)
def test_damaged_files_say_what_is_wrong(tmp_path, change, message):
  path = tmp_path / "bad.parquet"
  frame(**change).write_parquet(path)
  with pytest.raises(UserError, match=message):
    read_user_embeddings(path)


def test_other_files_say_what_is_wrong(tmp_path):
  path = tmp_path / "x.parquet"
  with pytest.raises(UserError, match="no such file"):
    read_user_embeddings(path)
  path.write_text("user_id,embedding\n")
  with pytest.raises(UserError, match="not readable as Parquet"):
    read_user_embeddings(path)
  frame().drop("num_events").write_parquet(path)
  with pytest.raises(UserError, match="no column 'num_events'"):
    read_user_embeddings(path)
  frame().clear().write_parquet(path)
  with pytest.raises(UserError, match="no embedding in it"):
    read_user_embeddings(path)

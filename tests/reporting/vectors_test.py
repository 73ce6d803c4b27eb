import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.reporting.vectors import read_vectors
from tests.reporting.example_run import write_embeddings


def table(num_rows=3, **columns):
  content = {
      "user_id": [f"u{n}" for n in range(num_rows)],
      "start": [None] * num_rows,
      "num_events": [5] * num_rows,
      "embedding": [[float(n), 1.0] for n in range(num_rows)],
  }
  content |= columns
  return pl.DataFrame({k: v for k, v in content.items() if v is not None})


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
  pl.read_parquet(path).sample(
      fraction=1.0, shuffle=True, seed=3
  ).write_parquet(shuffled)
  first, second = read_vectors(path, most=50), read_vectors(shuffled, most=50)
  assert len(first.users) == 50
  assert first.users == second.users
  np.testing.assert_array_equal(first.values, second.values)
  np.testing.assert_array_equal(first.num_events, second.num_events)


def test_vectors_stay_with_their_users(tmp_path):
  path = tmp_path / "a.parquet"
  order = np.random.default_rng(0).permutation(200)
  table(
      200,
      user_id=[f"u{n:03d}" for n in order],
      num_events=order.tolist(),
      embedding=[[float(n)] for n in order],
  ).write_parquet(path)
  vectors = read_vectors(path, most=40)
  for user, count, value in zip(
      vectors.users, vectors.num_events, vectors.values, strict=True
  ):
    assert int(user[1:]) == count == value[0]


@pytest.mark.parametrize("kind", [pl.List(pl.Float32), pl.Array(pl.Float32, 2)])
def test_lists_and_arrays_are_both_vectors(tmp_path, kind):
  path = tmp_path / "a.parquet"
  column = pl.Series([[0, 1], [2, 3], [4, 5]], dtype=kind)
  table(embedding=column).write_parquet(path)
  np.testing.assert_array_equal(
      read_vectors(path).values, [[0, 1], [2, 3], [4, 5]]
  )


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (dict(embedding=None), "embedding"),
        (dict(num_events=None), "num_events"),
        (dict(user_id=["a", None, "b"]), "'user_id' has empty cells"),
        (dict(num_events=["x", "y", "z"]), "unexpected type"),
        (dict(embedding=["x", "y", "z"]), "not a list of equally many"),
        (dict(embedding=[1.0, 2.0, 3.0]), "not a vector"),
        (dict(embedding=[[1.0], [2.0, 3.0], [4.0]]), "equally many"),
        (dict(embedding=[[1.0], None, [2.0]]), "equally many"),
        (dict(embedding=[[1.0], [float("nan")], [2.0]]), "1 of 3 vectors"),
    ],
)
def test_a_table_that_holds_no_vectors_is_named(tmp_path, columns, said):
  path = tmp_path / "a.parquet"
  table(**columns).write_parquet(path)
  with pytest.raises(UserError, match=said) as error:
    read_vectors(path)
  assert str(path) in str(error.value)


def test_an_empty_table_is_named(tmp_path):
  path = tmp_path / "a.parquet"
  table().clear().write_parquet(path)
  with pytest.raises(UserError, match="holds no rows"):
    read_vectors(path)


def test_a_file_that_is_no_parquet_is_named(tmp_path):
  path = tmp_path / "a.parquet"
  path.write_bytes(b"PAR1 cut off")
  with pytest.raises(UserError, match="not a readable Parquet file"):
    read_vectors(path)
  with pytest.raises(UserError, match="no such file"):
    read_vectors(tmp_path / "b.parquet")

import datetime

import numpy as np
import polars as pl
import pytest

from behavior_lm.artifacts.vectors import embedding_column
from behavior_lm.artifacts.vectors import read_embeddings
from behavior_lm.artifacts.vectors import read_settings
from behavior_lm.artifacts.vectors import write_embeddings
from behavior_lm.common.errors import UserError

START = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
VECTORS = np.arange(12, dtype=np.float32).reshape(3, 4) / 7


def table(vectors=VECTORS):
  return pl.DataFrame({
      "split": ["train"] * len(vectors),
      "user_id": [f"user {i}" for i in range(len(vectors))],
      "start": pl.Series(
          [START] * len(vectors), dtype=pl.Datetime("us", "UTC")
      ),
      "num_events": list(range(len(vectors))),
  }).with_columns(embedding_column(vectors))


def test_what_is_written_is_read(tmp_path):
  path = tmp_path / "new" / "a.parquet"
  write_embeddings(path, table(), {"layer": 3, "pooling": "mean"})
  frame, vectors = read_embeddings(path)
  assert frame.equals(table().drop("embedding"))
  np.testing.assert_array_equal(vectors, VECTORS)
  assert vectors.dtype == np.float32
  assert read_settings(str(path)) == {"layer": 3, "pooling": "mean"}
  assert [p.name for p in path.parent.iterdir()] == ["a.parquet"]


def test_lists_of_other_writers_are_read_too(tmp_path):
  path = tmp_path / "a.parquet"
  table().with_columns(
      pl.col("embedding").arr.to_list().cast(pl.List(pl.Float64))
  ).drop("split").write_parquet(path)
  frame, vectors = read_embeddings(path)
  np.testing.assert_array_equal(vectors, VECTORS)
  assert frame.columns == ["user_id", "start", "num_events"]
  assert read_settings(path) == {}


def test_no_rows_are_no_vectors(tmp_path):
  path = tmp_path / "a.parquet"
  write_embeddings(path, table().clear())
  frame, vectors = read_embeddings(path)
  assert frame.height == 0 and vectors.shape == (0, 4)


def test_a_write_that_fails_leaves_the_file_that_was_there(tmp_path):
  path = tmp_path / "a.parquet"
  write_embeddings(path, table())
  broken = table().lazy().with_columns(
      pl.col("user_id").map_elements(lambda _: 1 / 0, return_dtype=pl.String)
  )
  with pytest.raises(Exception, match="division by zero"):
    write_embeddings(path, broken)
  assert read_embeddings(path)[0].height == 3
  assert [p.name for p in tmp_path.iterdir()] == ["a.parquet"]


def with_vector(row, value):
  vectors = VECTORS.copy()
  vectors[row, 1] = value
  return table(vectors)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (table().drop("user_id"), "no column 'user_id'"),
        (table().drop("embedding"), "no column 'embedding'"),
        (
            table().with_columns(user_id=pl.Series(["a", None, "b"])),
            "'user_id' has empty cells",
        ),
        (table().with_columns(num_events=pl.lit("x")), "'num_events' is Str"),
        (with_vector(1, np.nan), "the vector of row 1 is not finite"),
        (with_vector(2, np.inf), "the vector of row 2 is not finite"),
        (
            table().with_columns(
                pl.when(pl.col("num_events") != 2).then("embedding")
            ),
            "row 2 has no vector",
        ),
        (
            table().with_columns(embedding=pl.lit("0.1 0.2")),
            "column 'embedding' is String, not vectors",
        ),
        (
            table().with_columns(
                embedding=pl.Series([[0.1], [0.2, 0.3], [0.4]])
            ),
            r"vectors of several lengths, \[1, 2\]",
        ),
    ],
)
def test_a_damaged_table_is_an_error(tmp_path, bad, message):
  bad.write_parquet(tmp_path / "a.parquet")
  with pytest.raises(UserError, match=message):
    read_embeddings(tmp_path / "a.parquet")


def test_files_that_cannot_be_read_are_errors(tmp_path):
  path = tmp_path / "a.parquet"
  with pytest.raises(UserError, match="no such file"):
    read_embeddings(path)
  write_embeddings(path, table())
  path.write_bytes(path.read_bytes()[:-20])
  for read in (read_embeddings, read_settings):
    with pytest.raises(UserError, match="is not a Parquet file, or is damaged"):
      read(path)


def test_other_kinds_of_stores_are_refused(tmp_path):
  for name in ("a.csv", "a"):
    with pytest.raises(UserError, match="must end in one of .parquet"):
      write_embeddings(tmp_path / name, table())
  with pytest.raises(UserError, match="no column 'num_events'"):
    write_embeddings(tmp_path / "a.parquet", table().drop("num_events"))
  (tmp_path / "file").write_text("")
  with pytest.raises(UserError, match="cannot be written"):
    write_embeddings(tmp_path / "file" / "a.parquet", table())

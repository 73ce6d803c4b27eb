import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.inference.stores.source import open_source
from tests.inference.stores.example_vectors import make_source


@pytest.mark.parametrize("splits", [(), ("test",), ("train", "test")])
@pytest.mark.parametrize("rows", [1, 7, 30, 1_000])
def test_batches_of_any_size_are_the_table(tmp_path, rows, splits):
  source, table, vectors = make_source(
      tmp_path / "v.parquet", 50, splits=splits
  )
  wanted = table["split"].is_in(splits or ("train", "test"))
  got = list(source.batches(rows))
  assert {len(v) for _, v in got[:-1]} <= {rows}
  assert pl.concat([t for t, _ in got]).equals(table.filter(wanted))
  want = vectors[wanted.to_numpy()]
  np.testing.assert_array_equal(np.concatenate([v for _, v in got]), want)
  assert (source.num_rows, source.dim) == want.shape
  np.testing.assert_array_equal(source.read()[1], want)


def test_the_fingerprint_tells_rows_apart(tmp_path):
  prints = [
      make_source(tmp_path / name, 20, splits=splits, seed=seed)[0].fingerprint
      for name, seed, splits in [
          ("a.parquet", 0, ()),
          ("b.parquet", 1, ()),
          ("a.parquet", 0, ("test",)),
          ("c.parquet", 0, ()),
      ]
  ]
  assert len(set(prints[:3])) == 3 and prints[0] == prints[3]


def test_a_user_with_two_rows_is_named(tmp_path):
  source, table, vectors = make_source(tmp_path / "v.parquet", 20)
  source.check_users()
  twice = pl.read_parquet(source.path).with_columns(
      pl.lit("user:7 ü").alias("user_id")
  )
  twice.write_parquet(source.path)
  with pytest.raises(UserError, match="user 'user:7 ü' has 20 rows.*--splits"):
    open_source(source.path).check_users()
  with pytest.raises(UserError, match="has 7 rows"):
    open_source(source.path, ("test",)).check_users()


def test_what_cannot_be_exported_is_an_error(tmp_path):
  path = tmp_path / "v.parquet"
  with pytest.raises(UserError, match="no such file"):
    open_source(path)
  _, table, _ = make_source(path, 20)
  with pytest.raises(UserError, match="no split 'dev'; it has test, train"):
    open_source(path, ("test", "dev"))
  whole = pl.read_parquet(path)
  whole.drop("split").write_parquet(path)
  with pytest.raises(UserError, match="has no column 'split'"):
    open_source(path, ("test",))
  table.write_parquet(path)
  with pytest.raises(UserError, match="no column 'embedding'"):
    open_source(path)
  whole.head(0).write_parquet(path)
  with pytest.raises(UserError, match="has no rows"):
    open_source(path)
  path.write_bytes(b"PAR1 nothing")
  with pytest.raises(UserError, match="is not a Parquet file"):
    open_source(path)

import polars as pl
import pytest

from experiments.benchmarks.ingest import ingest_logs


@pytest.fixture(scope="module")
def base():
  return ingest_logs.base_log(num_users=2).head(5_000)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("count", [777, 5_000, 12_345])
def test_a_log_has_exactly_the_events_asked_for(base, tmp_path, kind, count):
  path = tmp_path / f"log.{kind}"
  ingest_logs.write_log(base, count, path, batch_rows=3_000)
  read = pl.read_csv if kind == "csv" else pl.read_parquet
  found = read(path)
  assert found.columns == base.columns
  assert found.height == count
  assert found["user_id"].n_unique() <= 2 * -(-count // 5_000)


def test_each_copy_is_the_base_with_other_users_and_later(base):
  found = pl.concat(ingest_logs.batches(base, 15_000, 3_000))
  copy = found.filter(pl.col("user_id").str.ends_with("-2")).with_columns(
      pl.col("user_id").str.strip_suffix("-2"),
      pl.col("timestamp") - pl.duration(seconds=2 * 1_117),
  )
  columns = base.columns
  assert copy.sort(columns).equals(base.sort(columns))

import json

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.common.resumable import building_of
from behavior_lm.inference.stores import parquet
from behavior_lm.inference.stores.parquet import iter_shards
from behavior_lm.inference.stores.parquet import read_shards
from behavior_lm.inference.stores.parquet import ShardSpec
from behavior_lm.inference.stores.parquet import write_shards
from tests.inference.stores.example_vectors import make_source


@pytest.fixture
def made(tmp_path):
  return make_source(tmp_path / "v.parquet", 50)


def test_shards_hold_the_table_bit_by_bit(made, tmp_path):
  source, table, vectors = made
  out = tmp_path / "out"
  assert write_shards(source, out, ShardSpec(shard_rows=20)) == 3
  assert sorted(path.name for path in out.iterdir()) == [
      "manifest.json",
      *(f"part-0000{n}-of-00003.parquet" for n in range(3)),
  ]
  got, there = read_shards(out)
  assert got.equals(table)
  np.testing.assert_array_equal(there, vectors)
  assert [len(v) for _, v in iter_shards(out)] == [20, 20, 10]
  manifest = json.loads((out / "manifest.json").read_text())
  assert (manifest["rows"], manifest["dim"]) == (50, 8)
  assert manifest["source"]["made"] == {"run": "a"}


@pytest.mark.parametrize(
    ("dtype", "error"), [("float16", 1 / 2048), ("int8", 1 / 254)]
)
def test_fewer_bytes_cost_little_and_others_can_read_them(
    made, tmp_path, dtype, error
):
  source, table, vectors = made
  write_shards(source, tmp_path / "out", ShardSpec(dtype))
  got, there = read_shards(tmp_path / "out")
  assert got.equals(table)
  largest = np.abs(vectors).max(1, keepdims=True)
  assert (np.abs(there - vectors) <= largest * error * 1.001).all()
  # Plain pyarrow, by the words of the page.
  plain = pq.read_table(next((tmp_path / "out").glob("part*")))
  values = np.stack(plain["embedding"].to_numpy()).astype(np.float32)
  if dtype == "int8":
    values = values * plain["scale"].to_numpy()[:, None]
  np.testing.assert_array_equal(values, there)


class Stop(Exception):
  """Ends an export from the outside."""


def stop_after(monkeypatch, shards):
  """Lets so many shards be written, then dies."""
  whole, count = parquet._write_shard, [0]

  def dying(*args):
    if count[0] == shards:
      raise Stop
    count[0] += 1
    whole(*args)

  monkeypatch.setattr(parquet, "_write_shard", dying)
  return count


def test_a_killed_export_writes_only_what_is_missing(
    made, tmp_path, monkeypatch
):
  source, _, vectors = made
  out, spec = tmp_path / "out", ShardSpec(shard_rows=10)
  stop_after(monkeypatch, 3)
  with pytest.raises(Stop):
    write_shards(source, out, spec)
  assert not out.exists()
  # One of them was damaged in between.
  shard = building_of(out) / "part-00001-of-00005.parquet"
  shard.write_bytes(shard.read_bytes()[:-20])
  monkeypatch.undo()
  count, said = stop_after(monkeypatch, 9), []
  assert write_shards(source, out, spec, say=said.append) == 5
  assert count == [3]
  assert said == ["continuing: 2 of 5 shards are there already"]
  np.testing.assert_array_equal(read_shards(out)[1], vectors)


def test_shards_of_other_settings_are_never_mixed_in(
    made, tmp_path, monkeypatch
):
  source, _, vectors = made
  stop_after(monkeypatch, 3)
  with pytest.raises(Stop):
    write_shards(source, tmp_path / "out", ShardSpec("int8", 10))
  monkeypatch.undo()
  write_shards(source, tmp_path / "out", ShardSpec(shard_rows=30))
  np.testing.assert_array_equal(read_shards(tmp_path / "out")[1], vectors)
  assert len(list((tmp_path / "out").iterdir())) == 3


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[:-100]), "was truncated"),
        (lambda p: p.write_bytes(p.read_bytes()[::-1]), "its hash differs"),
        (lambda p: p.unlink(), "is missing, but the manifest names it"),
    ],
)
def test_a_damaged_shard_is_named(made, tmp_path, damage, message):
  write_shards(made[0], tmp_path / "out", ShardSpec(shard_rows=20))
  shard = tmp_path / "out" / "part-00001-of-00003.parquet"
  damage(shard)
  with pytest.raises(UserError, match=f"{shard}: .*{message}"):
    read_shards(tmp_path / "out")


def test_a_shard_of_the_right_size_that_is_no_parquet_is_named(made, tmp_path):
  write_shards(made[0], tmp_path / "out")
  shard = tmp_path / "out" / "part-00000-of-00001.parquet"
  shard.write_bytes(b"x" * shard.stat().st_size)
  with pytest.raises(UserError, match="cannot be read"):
    list(iter_shards(tmp_path / "out", check_hashes=False))


def test_the_place_is_checked_before_anything_is_written(made, tmp_path):
  source, _, _ = made
  with pytest.raises(UserError, match="--to parquet:/proc/out: cannot be wri"):
    write_shards(source, "/proc/out")
  with pytest.raises(UserError, match="is a file, not a folder"):
    write_shards(source, source.path / "out")
  write_shards(source, tmp_path / "out")
  with pytest.raises(UserError, match="holds a complete Parquet store"):
    write_shards(source, tmp_path / "out")
  write_shards(source, tmp_path / "out", overwrite=True)
  (tmp_path / "other").mkdir()
  (tmp_path / "other" / "letter.txt").write_text("keep me")
  with pytest.raises(UserError, match="is not a Parquet store"):
    write_shards(source, tmp_path / "other", overwrite=True)


def test_odd_requests_and_vectors_are_refused(made, tmp_path):
  source, _, vectors = made
  with pytest.raises(UserError, match="--dtype 'int4'"):
    write_shards(source, tmp_path / "out", ShardSpec("int4"))
  with pytest.raises(UserError, match="--shard_rows is 0"):
    write_shards(source, tmp_path / "out", ShardSpec(shard_rows=0))
  table = pl.read_parquet(source.path)
  large = table["embedding"].to_numpy().copy()
  large[33] = 1e6
  table.with_columns(
      pl.Series("embedding", large, dtype=table["embedding"].dtype)
  ).write_parquet(source.path)
  with pytest.raises(UserError, match="from row 30: vector 3 holds 1e"):
    write_shards(source, tmp_path / "out", ShardSpec("float16", 10))
  assert not (tmp_path / "out").exists()


def test_a_folder_that_is_no_store_is_refused(tmp_path):
  with pytest.raises(UserError, match="no manifest.json"):
    read_shards(tmp_path)
  (tmp_path / "manifest.json").write_text('{"store": "faiss"}')
  with pytest.raises(UserError, match="of a 'faiss' store"):
    read_shards(tmp_path)

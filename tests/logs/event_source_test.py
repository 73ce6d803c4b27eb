"""What is read is what was written, or the error names file and sequence."""

import random
import shutil

import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.common.progress import CommandProgress
from behavior_lm.logs import dataset as dataset_lib
from behavior_lm.logs import schema
from behavior_lm.logs.builders import event_log
from behavior_lm.logs.event_source import EventSource
from tests.logs.support import log_files


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp("dataset")
  rng = np.random.default_rng(0)
  count = 20_000
  pl.DataFrame({
      "user_id": rng.integers(0, 20, count).astype(str),
      "event_id": rng.integers(0, 900, count).astype(str),
      "timestamp": 1_709_500_000 + rng.integers(0, 500_000, count),
      "level": rng.random(count),
  }).write_parquet(path / "log.parquet")
  log_files.prepare(
      path / "log.parquet",
      path / "out",
      split_time="2024-03-08",
      extras=("level",),
  )
  return path / "out"


def test_extra_columns_come_with_each_sequence(folder):
  dataset = dataset_lib.open_dataset(folder)
  assert list(dataset.extras) == ["level"] == list(dataset.meta["extras"])
  example = dataset.source("train")[0]
  assert list(example) == ["user_id", "start", "pair", "timestamp", "level"]
  assert example["level"].dtype == np.float64
  log = pl.read_parquet(folder.parent / "log.parquet").filter(
      pl.col("user_id") == example["user_id"]
  )
  levels = dict(
      log.with_columns(pl.col("timestamp") * 1_000_000)
      .unique("timestamp", keep="none")
      .select("timestamp", "level")
      .iter_rows()
  )
  known = [time in levels for time in example["timestamp"].tolist()]
  assert sum(known) > 20
  for time, level in zip(example["timestamp"], example["level"], strict=True):
    assert levels.get(int(time), level) == level


def damaged_files(folder):
  return sorted(
      path.relative_to(folder)
      for path in folder.rglob("*")
      if path.is_file() and path.name != "quarantine.jsonl"
  )


@pytest.mark.slow
def test_a_flipped_bit_anywhere_is_found_and_named_or_harmless(
    folder, tmp_path
):
  want = log_files.contents(dataset_lib.open_dataset(folder))
  copy = shutil.copytree(folder, tmp_path / "copy")
  choose = random.Random(1)
  named = {}
  for name in damaged_files(copy):
    good = (copy / name).read_bytes()
    for place in [0, len(good) - 1, *choose.choices(range(len(good)), k=25)]:
      bad = bytearray(good)
      bad[place] ^= 1 << choose.randrange(8)
      (copy / name).write_bytes(bad)
      try:
        found = log_files.contents(dataset_lib.open_dataset(copy))
        assert found == want, (name, place)
      except UserError as error:
        assert str(copy / name) in str(error), (name, place)
        named[name] = named.get(name, 0) + 1
      with pytest.raises(UserError) as caught:
        dataset_lib.verify(copy, CommandProgress(quiet=True))
      assert str(copy / name) in str(caught.value)
    (copy / name).write_bytes(good)
  assert set(named) == set(damaged_files(copy))
  dataset_lib.verify(copy, CommandProgress(quiet=True))


def test_a_shard_cut_off_while_it_is_open_is_named(folder, tmp_path):
  """Its size was right when the dataset was opened."""
  copy = shutil.copytree(folder, tmp_path / "copy")
  dataset = dataset_lib.open_dataset(copy)
  [shard] = copy.glob("tfds/**/*train.array_record*")
  with shard.open("r+b") as file:
    file.truncate(shard.stat().st_size // 2)
  source = dataset.source("train")
  with pytest.raises(UserError, match=f"{shard}: sequence") as caught:
    for index in range(len(source)):
      source[index]
  assert "is damaged: " in str(caught.value)


_KINDS = {"x": schema.NUMERIC}


def write(folder, examples, shards=1):
  lengths = [
      event_log.write_shard(
          folder / event_log.shard_name("train", shard, shards),
          examples[shard::shards],
          _KINDS,
      )
      for shard in range(shards)
  ]
  event_log.write_metadata(folder, {"train": lengths}, _KINDS)


def examples(count):
  return [
      {
          "user_id": f"u{n}",
          "start": n,
          "pair": np.array([n, 3], np.int32),
          "timestamp": np.array([n, n + 1]),
          "x": np.array([0.5, np.nan]),
      }
      for n in range(count)
  ]


def test_an_example_in_the_place_of_another_is_named(tmp_path, monkeypatch):
  """Every record is whole, and still it is not the one that was written."""
  monkeypatch.setattr(
      event_log.checksum, "example_crc", lambda *args: 0
  )
  write(tmp_path, examples(4), shards=2)
  monkeypatch.undo()
  source = EventSource(tmp_path, "train", 4, _KINDS)
  for index, place in enumerate([0, 1, 0, 1]):
    with pytest.raises(UserError) as caught:
      source[index]
    shard = tmp_path / event_log.shard_name("train", index // 2, 2)
    assert str(caught.value) == (
        f"{shard}: sequence {index} of train (number {place} in this file) is"
        " damaged: its checksum is another. Run experiments/prepare.py again,"
        " or copy the dataset again."
    )


def test_files_that_are_no_dataset_are_named(tmp_path):
  with pytest.raises(UserError, match=f"{tmp_path}/nothing: cannot be opened"):
    EventSource(tmp_path / "nothing", "train", 1)[0]

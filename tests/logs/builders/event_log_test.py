import json
import os
import pathlib
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest
import tensorflow_datasets as tfds

from behavior_lm.logs import schema
from behavior_lm.logs.builders import event_log

_REPO = pathlib.Path(__file__).parents[3]
_KINDS = {"level": schema.NUMERIC, "place": schema.CATEGORICAL}
_EXAMPLES = st.lists(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
            st.integers(-(2**60), 2**60),
            st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=5),
        ),
        min_size=1,
        max_size=4,
    ),
    min_size=1,
    max_size=3,
)


def examples(rows):
  for user, start, pair in rows:
    yield {
        "user_id": user,
        "start": start,
        "pair": np.array(pair, np.int32),
        "timestamp": start + np.arange(len(pair)),
        "level": np.array(pair, np.float64) / 4,
        "place": np.array(pair, np.int32) % 3 - 1,
    }


def write(folder, shards):
  names = [
      event_log.shard_name("train", number, len(shards))
      for number in range(len(shards))
  ]
  lengths = [
      event_log.write_shard(folder / name, examples(rows), _KINDS)
      for name, rows in zip(names, shards, strict=True)
  ]
  event_log.write_metadata(folder, {"train": lengths}, _KINDS)


@pytest.mark.slow
@given(_EXAMPLES)
def test_examples_come_back_in_their_order(tmp_path_factory, shards):
  folder = tmp_path_factory.mktemp("tfds")
  write(folder, shards)
  source = tfds.builder_from_directory(folder).as_data_source(split="train")
  want = [row for rows in shards for row in rows]
  assert len(source) == len(want)
  for example, (user, start, pair) in zip(source, want, strict=True):
    assert example["user_id"].decode() == user
    assert example["start"] == start
    assert example["pair"].dtype == np.int32
    assert example["pair"].tolist() == pair
    assert example["timestamp"].tolist() == list(
        range(start, start + len(pair))
    )
    assert example["level"].dtype == np.float64
    assert example["level"].tolist() == [p / 4 for p in pair]
    assert example["place"].dtype == np.int32
    assert example["place"].tolist() == [p % 3 - 1 for p in pair]


def test_the_description_names_no_place_on_this_machine(tmp_path):
  write(tmp_path, [[("u", 0, [1])]])
  info = json.loads((tmp_path / "dataset_info.json").read_text())
  assert info["fileFormat"] == "array_record"
  assert info["version"] == event_log.VERSION
  [split] = info["splits"]
  [shard] = tmp_path.glob("*array_record*")
  assert split["shardLengths"] == ["1"]
  assert split["numBytes"] == str(shard.stat().st_size)
  assert str(tmp_path) not in json.dumps(info)


@pytest.mark.slow
def test_writing_needs_no_network_and_prints_nothing(tmp_path):
  """Sockets are forbidden in a process of its own, where TFDS is fresh."""
  program = f"""
import socket
def refuse(*args, **kwargs):
  raise AssertionError("the network was asked for")
socket.socket.connect = refuse
socket.getaddrinfo = refuse
import pathlib
from tests.logs.builders.event_log_test import write
write(pathlib.Path({str(tmp_path)!r}), [[("u", 0, [1])]])
"""
  found = subprocess.run(
      [sys.executable, "-c", program],
      capture_output=True,
      text=True,
      env=os.environ | {"PYTHONPATH": str(_REPO)},
  )
  assert found.returncode == 0, found.stderr
  assert found.stdout == "" and found.stderr == ""

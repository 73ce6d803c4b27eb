import functools
import json
import os
import pathlib
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import tensorflow_datasets as tfds

from behavior_lm.data.builders import event_log

_REPO = pathlib.Path(__file__).parents[3]
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


def shard(rows):
  for key, (user, start, pair) in enumerate(rows):
    yield key, {
        "user_id": user,
        "start": start,
        "pair": np.array(pair, np.int32),
        "timestamp": start + np.arange(len(pair)),
    }


@given(_EXAMPLES)
def test_examples_come_back_in_their_order(tmp_path_factory, shards):
  folder = event_log.write_event_log(
      {"train": [functools.partial(shard, rows) for rows in shards]},
      tmp_path_factory.mktemp("tfds"),
  )
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


def test_the_files_are_where_readers_look_for_them(tmp_path):
  folder = event_log.write_event_log(
      {"train": [functools.partial(shard, [("u", 0, [1])])]}, tmp_path
  )
  assert folder == tmp_path / event_log.FOLDER
  info = json.loads((folder / "dataset_info.json").read_text())
  assert info["fileFormat"] == "array_record"
  assert str(tmp_path) not in json.dumps(info)
  assert [path.name for path in tmp_path.iterdir()] == ["event_log"]


def test_writing_needs_no_network_and_prints_nothing(tmp_path):
  """Sockets are forbidden in a process of its own, where TFDS is fresh."""
  program = f"""
import socket
def refuse(*args, **kwargs):
  raise AssertionError("the network was asked for")
socket.socket.connect = refuse
socket.getaddrinfo = refuse
import functools
from behavior_lm.data.builders import event_log
from tests.data.builders.event_log_test import shard
event_log.write_event_log(
    {{"train": [functools.partial(shard, [("u", 0, [1])])]}},
    __import__("pathlib").Path({str(tmp_path)!r}))
"""
  found = subprocess.run(
      [sys.executable, "-c", program],
      capture_output=True,
      text=True,
      env=os.environ | {"PYTHONPATH": str(_REPO)},
  )
  assert found.returncode == 0, found.stderr
  assert found.stdout == "" and found.stderr == ""

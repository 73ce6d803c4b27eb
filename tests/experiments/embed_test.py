import signal

import pytest

from behavior_lm.artifacts.vectors import read_embeddings
from tests import command_server
from tests.inference.dataset_embeddings_test import make_dataset
from tests.inference.dataset_embeddings_test import make_log
from tests.inference.fake_runs import make_run


def embed(*args, send=None):
  done = command_server.run("experiments/embed.py", *args, send=send)
  return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
  log = make_log(num_events=40_000, num_users=60)
  return make_dataset(tmp_path_factory.mktemp("dataset") / "a", log).path


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "--run is missing; see --help."),
        (["--run", "x"], "--data is missing; see --help."),
        (["--run", "x", "--data", "none"], "none: no such dataset folder"),
        (["--run", "x", "--data", "y", "--step", "last"], "--step 'last'"),
        (["x"], "unexpected argument 'x'"),
    ],
)
def test_bad_usage_ends_with_one_line(args, message):
  code, out, err = embed(*args)
  assert code == 2 and out == ""
  assert err.startswith("error: ") and message in err
  assert err.count("\n") == 1


def test_a_run_folder_that_is_none_ends_with_one_line(dataset, tmp_path):
  code, out, err = embed("--run", tmp_path, "--data", dataset)
  assert code == 2 and out == ""
  assert "no config.json, so this is no run folder" in err
  assert err.count("\n") == 1


@pytest.mark.slow
def test_a_killed_run_goes_on_and_gives_the_same_file(run, dataset, tmp_path):
  killed, whole = tmp_path / "k.parquet", tmp_path / "w.parquet"
  args = ["--run", run, "--data", dataset, "--part_events", 100, "--out"]
  parts = tmp_path / "k.parquet.parts"
  code, _, _ = embed(*args, killed, send=(signal.SIGKILL, parts, 5))
  assert code == -signal.SIGKILL
  assert not killed.exists()

  more = len(list(parts.iterdir())) + 3
  code, out, err = embed(*args, killed, send=(signal.SIGTERM, parts, more))
  assert code == 128 + signal.SIGTERM and "parts are there already" in out
  assert err.endswith(
      "stopped by SIGTERM; the same command continues from the last"
      " finished part\n"
  )
  assert "Traceback" not in err
  assert not killed.exists()

  code, out, err = embed(*args, killed)
  assert code == 0, err
  assert "parts are there already" in out
  assert f"embeddings: {killed} (" in out
  assert "sequences/s" in out and "events/s" in out

  code, out, err = embed(*args, whole)
  assert code == 0 and "already" not in out, err
  assert killed.read_bytes() == whole.read_bytes()
  frame, _ = read_embeddings(whole)
  assert frame["num_events"].sum() == 40_000
  assert sorted(p.name for p in tmp_path.iterdir()) == [
      "k.parquet", "w.parquet",
  ]

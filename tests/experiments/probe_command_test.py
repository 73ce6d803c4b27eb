"""The probe command, as a person types it."""

import functools
import json

import numpy as np
import polars as pl
import pytest

from tests.experiments import command
from tests.logs.support import log_files

run = functools.partial(command.run, "probe")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp("probe_command")
  log = log_files.write_csv(
      path / "log.csv", log_files.good_rows(240, users=24)
  )
  log_files.prepared(log, path / "data", timezone="UTC")
  users = [f"u{i}" for i in range(24)]
  pl.DataFrame({
      "user_id": users,
      "start": [None] * 24,
      "num_events": [10] * 24,
      "embedding": np.random.default_rng(0).normal(size=(24, 3)).tolist(),
  }).write_parquet(path / "users.parquet")
  pl.DataFrame(
      {"user_id": users, "bot": [i % 2 for i in range(24)]}
  ).write_csv(path / "labels.csv")
  (path / "truth.json").write_text('{"oracle": {"bot": {"auc": 0.97}}}')
  return path


def flags(folder, **changes):
  values = {
      "embeddings": folder / "users.parquet",
      "data": folder / "data",
      "labels": folder / "labels.csv",
      "out": folder / "run" / "probe.json",
      "folds": 3,
      "seeds": 0,
  }
  return [f"--{k}={v}" for k, v in (values | changes).items()]


@pytest.mark.slow
def test_it_prints_the_table_and_writes_what_the_report_reads(folder):
  status, out, error = run(*flags(folder, oracle=folder / "truth.json"))
  assert status == 0, error
  assert "24 users" in out
  assert "embedding + event counts" in out
  assert "best AUC that label 'bot' allows: 0.970" in out
  assert f"{folder / 'run' / 'probe.md'}" in out
  result = json.loads((folder / "run" / "probe.json").read_text())
  assert result["oracle"] == {"bot": 0.97}
  assert result["num_users"] == 24
  assert "--folds=3" in result["command"]
  for row in result["rows"]:
    assert row["label"] == "bot"
    assert row["auc_ci"][0] <= row["auc"] <= row["auc_ci"][1]
    assert (row["folds"], row["seeds"]) == (3, [0])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"out": "probe.txt"}, "give a .json file"),
        ({"out": ""}, "--out is missing; see --help."),
        ({"labels": ""}, "--labels is missing; see --help."),
        ({"seeds": "a"}, "--seeds a: not numbers."),
        ({"seeds": "1,1"}, "give different numbers"),
        ({"labels": "absent.csv"}, "absent.csv: no such file"),
        ({"embeddings": "absent.parquet"}, "absent.parquet: no such file"),
        ({"splits": "later"}, "no split 'later'"),
        ({"label": "churn"}, "no label 'churn' among"),
        ({"folds": "20"}, "20 folds take at least 20 of each"),
    ],
)
def test_bad_usage_ends_with_one_line(folder, change, message):
  status, _, error = run(*flags(folder, **change))
  assert status == 2
  assert message in error
  assert error.startswith("error: ")
  assert len(error.strip().splitlines()) == 1

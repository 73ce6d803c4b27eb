"""The study of encoders, as a person types it."""

import functools
import json

import pytest

from tests.experiments import command
from tests.tiny import tiny_dataset

run = functools.partial(command.run, "studies/encoders/run")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
  return tiny_dataset(tmp_path_factory.mktemp("data"))


@pytest.mark.slow
def test_each_run_joins_the_table_and_is_made_once(dataset, tmp_path):
  flags = (
      f"--data={dataset}",
      f"--workdir={tmp_path / 'study'}",
      f"--out={tmp_path / 'encoders'}",
      "--size=tiny",
      "--minutes=0.1",
      "--probe_steps=8",
  )
  status, text, error = run(*flags, "--runs=bert_128")
  assert status == 0, error
  assert "encoders.md" in text
  result = lambda: json.loads((tmp_path / "encoders.json").read_text())
  names = lambda: [row["model"] for row in result()["groups"][0]["rows"]]
  assert names()[0] == "bert_128" and len(names()) == 5
  status, text, error = run(*flags, "--runs=bert_128,longformer")
  assert status == 0, error
  assert "== bert_128: done already" in text
  assert "counting" not in text  # The baselines are kept.
  assert sorted(names()[:2]) == ["bert_128", "longformer"]
  table = (tmp_path / "encoders.md").read_text()
  assert "planned for 0.1 minutes" in table
  assert "--runs=bert_128,longformer" in table
  assert (tmp_path / "encoders.png").stat().st_size > 1_000


@pytest.mark.parametrize(
    "flags, message",
    [
        ([], "error: --data is missing"),
        (["--data=nowhere", "--runs=gpt"], "error: --runs: no ['gpt']; there"),
        (["--data=nowhere", "--runs=bert"], "nowhere"),
    ],
)
def test_wrong_usage_ends_with_one_line(flags, message):
  status, _, error = run(*flags)
  assert status == 2
  assert message in error and "Traceback" not in error

"""The vocabulary study, as a person types it."""

import functools
import json

import pytest

from tests.experiments import command
from tests.tiny import tiny_dataset

run = functools.partial(command.run, "studies/tokenizers/run")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
  return tiny_dataset(tmp_path_factory.mktemp("data"))


@pytest.mark.slow
def test_it_writes_a_table_a_figure_and_the_chains(dataset, tmp_path):
  out = tmp_path / "study"
  status, text, error = run(
      f"--data={dataset}",
      f"--out={out}",
      "--tokenizer=pair,vocab_size=60",
      "--tokenizer=bpe,vocab_size=80,alphabet_size=40,collapse_repeats=True",
  )
  assert status == 0, error
  assert "round trip: 1,620 events came back exactly" in text
  result = json.loads((tmp_path / "study.json").read_text())
  assert [row["vocab_size"] for row in result["rows"]][1] <= 80
  assert "pieces" not in result["rows"][1]
  table = (tmp_path / "study.md").read_text()
  assert "all 1,620 events back" in table and "--tokenizer=bpe" in table
  assert "times," in (tmp_path / "study_pieces.md").read_text()
  assert (tmp_path / "study.png").stat().st_size > 1_000


@pytest.mark.slow
def test_without_a_dataset_it_says_what_is_missing():
  status, _, error = run()
  assert status == 2 and error.startswith("error: --data is missing")


@pytest.mark.slow
def test_a_wrong_setting_is_named_before_anything_is_trained(dataset, tmp_path):
  status, _, error = run(
      f"--data={dataset}",
      f"--out={tmp_path / 'study'}",
      "--tokenizer=pair,vocab_size=60",
      "--tokenizer=bpe,vocab_size=80,color=red",
  )
  assert status == 2 and "'color=red'" in error
  assert not list(tmp_path.iterdir())

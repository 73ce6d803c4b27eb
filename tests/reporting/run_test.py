"""Tests for reading a run folder."""

import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.reporting.run import read_run
from tests.reporting.example_run import write_bare_run
from tests.reporting.example_run import write_run


@pytest.fixture
def run_folder(tmp_path):
  return write_run(tmp_path / "gate")


def test_everything_in_the_folder_is_read(run_folder):
  run = read_run(run_folder)
  assert run.name == "gate"
  assert run.record["recipe"] == "pretrain"
  assert len(run.metrics) == 82
  assert list(run.evaluations) == ["masked", "ranking"]
  assert run.probe["num_users"] == 240
  assert run.num_parameters == 7_000 * 128 + 128
  assert [path.name for path in run.embeddings] == ["days.parquet"]


def test_a_run_just_begun_has_nothing_but_its_config(tmp_path):
  run = read_run(write_bare_run(tmp_path / "new"))
  assert run.config["model"]["name"] == "bert"
  assert run.record is run.probe is run.dataset is run.data_report is None
  assert run.tokenizer is run.num_parameters is None
  assert run.metrics == [] and run.evaluations == {} and run.embeddings == []


def test_the_number_of_parameters_is_of_the_last_checkpoint(run_folder):
  (run_folder / "checkpoints" / "900").mkdir()
  assert read_run(run_folder).num_parameters == 896_128
  (run_folder / "checkpoints" / "12000").mkdir()
  assert read_run(run_folder).num_parameters is None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", "{"),
        ("config.json", "[1]"),
        ("run.json", "3"),
        ("evaluations/masked.json", '{"rows": ['),
        ("evaluations/masked.json", "{}"),
        ("probe.json", '{"rows": [{"label": "bot"}]}'),
        ("dataset.json", "null"),
        ("metrics.jsonl", '{"loss": 1}\n'),
        ("tokenizer/tokenizer.json", "{"),
        ("checkpoints/4000/params/_METADATA", "{}"),
    ],
)
def test_a_damaged_file_is_named(run_folder, name, content):
  (run_folder / name).write_text(content)
  with pytest.raises(UserError) as error:
    read_run(run_folder)
  assert str(run_folder / name) in str(error.value)
  assert "\n" not in str(error.value)


def test_a_folder_that_is_no_run_says_so(tmp_path):
  with pytest.raises(UserError, match="no config.json"):
    read_run(tmp_path)
  with pytest.raises(UserError, match="no such folder"):
    read_run(tmp_path / "nothing")

import pytest

from behavior_lm.reporting.model_card import FILE
from behavior_lm.reporting.model_card import model_card
from behavior_lm.reporting.run import read_run
from behavior_lm.reporting.writer import write_report
from tests.artifacts import example_records
from tests.reporting import example_run
from tests.reporting.writer_test import report

PARTS = "Model", "Training data", "Evaluation", "Cost", "Limits", "Privacy"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  folder = example_run.write_run(tmp_path_factory.mktemp("runs") / "gate")
  return read_run(folder)


def test_a_card_has_every_part_filled_from_the_run(run):
  card = model_card(run, example_records.HASH)
  for heading in PARTS:
    assert f"\n## {heading}\n" in card
  for fact in ("4,399,500 events", "1.801", "0.953", example_records.HASH):
    assert fact in card
  # Nobody needs to know where files lie.
  assert "/home/" not in card


def test_what_is_missing_is_said(tmp_path):
  folder = tmp_path / "young"
  folder.mkdir()
  (folder / "config.json").write_text('{"model": {"name": "bert"}}')
  card = model_card(read_run(folder), example_records.HASH)
  for text in ("not described", "not evaluated", "No step"):
    assert text in card


@pytest.mark.slow
def test_a_report_with_its_card_is_replaced(run, tmp_path):
  card = model_card(run, example_records.HASH)
  html, figures = report(run.folder)
  for _ in range(2):
    write_report(tmp_path / "report", html, figures, card)
  assert (tmp_path / "report" / FILE).read_text() == card

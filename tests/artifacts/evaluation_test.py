"""Tests for the evaluation record."""

import copy
import json
import math

import pytest

from behavior_lm.artifacts import evaluation
from behavior_lm.common.errors import UserError
from tests.artifacts.example_records import changed
from tests.artifacts.example_records import EVALUATION
from tests.artifacts.example_records import OLD_EVALUATION


def test_what_is_written_is_read(tmp_path):
  paths = evaluation.write_evaluation(
      tmp_path / "evaluations", "test", EVALUATION
  )
  assert sorted((tmp_path / "evaluations").iterdir()) == sorted(paths)
  assert evaluation.read_evaluation(paths[0]) == EVALUATION
  assert evaluation.read_evaluations(tmp_path) == {"test": EVALUATION}
  text = paths[1].read_text()
  for row in EVALUATION["rows"]:
    for cell in evaluation.cells(EVALUATION, row):
      assert cell in text
  assert EVALUATION["command"] in text


def test_cells_follow_the_columns_of_the_record():
  result = copy.deepcopy(EVALUATION)
  result["columns"] = [
      {"name": "ndcg", "title": "NDCG@10", "format": ".1%", "better": "high"}
  ]
  result["main"] = "ndcg"
  row = result["rows"][0]
  row |= {"values": {"ndcg": 0.25}, "ci": {"ndcg": [0.2, 0.3]}}
  row["difference"] = {
      "baseline": "popular", "value": 0.05, "ci": [-0.01, 0.1], "p": 0.04
  }  # fmt: skip
  assert evaluation.header(result) == ["model", "NDCG@10", "difference"]
  assert evaluation.cells(result, row) == [
      row["model"],
      "25.0% (20.0% to 30.0%)",
      "+5.0% (-1.0% to +10.0%, p 0.040)",
  ]


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.00099, "at most 0.001"), (0.001, "at most 0.001"), (0.0213, "0.021")],
)
def test_p_has_the_floor_of_a_bootstrap(p, text):
  assert evaluation.p_text(p) == text


def test_a_model_that_diverged_has_a_cell():
  result = changed(EVALUATION, "rows/0/values/perplexity", math.nan)
  assert evaluation.cells(result, result["rows"][0])[1] == "not finite"


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("layout", 3, "layout 3"),
        ("title", None, "'title'"),
        ("counts", {"targets": 3}, "'events'"),
        ("settings", [], "'settings'"),
        ("notes", [3], "'notes'"),
        ("columns/0", {"name": "a"}, "'title'"),
        ("columns/0/better", "more", "'better'"),
        ("columns/0/format", "q", "'q'"),
        ("main", "speed", "'speed'"),
        ("rows", [], "'rows'"),
        ("rows", 3, "not as this version"),
        ("rows/1/kind", "rival", "row 1: .*'rival'"),
        ("rows/1/values", {}, "row 1: has no 'perplexity'"),
        ("rows/1/values/accuracy", "high", "row 1"),
        ("rows/0/ci", {"bits_per_event": [1.0]}, "row 0"),
        ("rows/0/difference/ci", None, "row 0"),
    ],
)
def test_a_damaged_record_is_neither_written_nor_read(
    tmp_path, path, value, said
):
  damaged = changed(EVALUATION, path, value)
  file = tmp_path / "test.json"
  file.write_text(json.dumps(damaged))
  with pytest.raises(UserError, match=said) as error:
    evaluation.read_evaluation(file)
  assert str(file) in str(error.value)
  if path != "layout":
    with pytest.raises(UserError, match=said):
      evaluation.write_evaluation(tmp_path / "new", "test", damaged)
    assert not (tmp_path / "new").exists()


def test_an_older_layout_says_to_evaluate_again(tmp_path):
  old = tmp_path / "evaluation.json"
  old.write_text(json.dumps(OLD_EVALUATION))
  for read in (
      lambda: evaluation.read_evaluation(old),
      lambda: evaluation.read_evaluations(tmp_path),
  ):
    with pytest.raises(UserError, match="experiments/evaluate.py"):
      read()
  evaluation.write_evaluation(tmp_path / "evaluations", "new", EVALUATION)
  assert list(evaluation.read_evaluations(tmp_path)) == ["new"]

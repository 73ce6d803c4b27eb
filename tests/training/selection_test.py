import json

import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.training.selection import Selection


def seen(selection, values):
  return [
      selection.see(step, "valid", {"auc": value})
      for step, value in enumerate(values)
  ]


@pytest.mark.parametrize(
    ("mode", "values", "better"),
    [
        ("min", [3.0, 2.0, 2.0, 2.5, 1.0], [1, 1, 0, 0, 1]),
        ("max", [0.5, 0.4, 0.6, float("nan"), 0.6], [1, 0, 1, 0, 0]),
    ],
)
def test_a_value_is_better_only_if_it_beats_all_before(mode, values, better):
  assert seen(Selection("valid/auc", mode), values) == list(map(bool, better))


def test_patience_counts_evaluations_and_survives_json():
  selection = Selection("valid/auc", "max", patience=2)
  seen(selection, [0.9, 0.8])
  assert not selection.is_over
  content = json.loads(json.dumps(selection.to_json()))
  again = Selection("valid/auc", "max", 2, content)
  again.see(9, "valid", {"auc": 0.1})
  assert again.is_over and again.step == 0 and again.value == 0.9


def test_other_evaluators_are_passed_over():
  selection = Selection("valid/auc", "max", patience=1)
  assert not selection.see(1, "test", {"auc": 1.0})
  assert selection.value is None and not selection.is_over


def test_a_metric_without_a_cadence_is_an_error():
  with pytest.raises(UserError, match="evals.valid.every"):
    Selection("valid/auc").check({"valid": 0, "test": 5})
  Selection("valid/auc").check({"valid": 5})
  Selection("").check({})


def test_an_unknown_mode_is_an_error():
  with pytest.raises(UserError, match="mode is 'best'"):
    Selection("valid/auc", "best")

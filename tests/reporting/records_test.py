import pytest

from behavior_lm.reporting.records import parse_evaluation
from behavior_lm.reporting.records import parse_probe
from tests.reporting.example_run import changed
from tests.reporting.example_run import EVALUATION
from tests.reporting.example_run import PROBE


def test_models_baselines_and_the_unfair_one_are_told_apart():
  rows = {row.model: row for row in parse_evaluation(EVALUATION).rows}
  assert not rows["bert (gate)"].is_baseline
  assert rows["unigram"].is_baseline and rows["unigram"].is_fair
  assert rows["neighbours (masked context)"].is_fair
  assert not rows["neighbours (full context)"].is_fair


def test_an_evaluation_of_one_user_has_no_intervals():
  content = changed(EVALUATION, "rows/0/bits_per_event_ci", None)
  content = changed(content, "rows/0/difference_to_best_baseline", None)
  row = parse_evaluation(content).rows[0]
  assert row.interval is None and row.difference is None


def test_a_ceiling_is_a_number_or_an_auc():
  assert parse_probe(PROBE).ceilings == {"bot": 0.971, "churn": 0.934}
  undefined = changed(PROBE, "oracle", {"bot": None, "churn": {"auc": None}})
  assert parse_probe(undefined).ceilings == {}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("rows", []),
        ("rows", "none"),
        ("rows/0", 3),
        ("rows/0/model", 7),
        ("rows/0/perplexity", "low"),
        ("rows/0/perplexity", None),
        ("rows/0/bits_per_event_ci", [1.0]),
        ("rows/0/difference_to_best_baseline", {"bits": 1.0}),
        ("rows/0/difference_to_best_baseline/ci", None),
        ("num_masked", "many"),
        ("data", None),
        ("config_hash", 3),
    ],
)
def test_a_damaged_evaluation_is_refused(path, value):
  with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
    parse_evaluation(changed(EVALUATION, path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("rows", []),
        ("rows/0/auc", None),
        ("rows/0/label", None),
        ("rows/0/seeds", 3),
        ("rows/0/auc_ci", 0.5),
        ("oracle", [1]),
        ("num_users", "many"),
    ],
)
def test_a_damaged_probe_is_refused(path, value):
  with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
    parse_probe(changed(PROBE, path, value))

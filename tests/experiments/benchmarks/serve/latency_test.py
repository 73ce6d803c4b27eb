import pytest

from experiments.benchmarks.race.encoder_cases import make_case
from experiments.benchmarks.serve import latency


def test_figures_follow_from_the_seconds():
  case = make_case(
      "bert", mode="embed", heads=["all"], length=100, batch_size=2
  )
  row = latency.summarise(
      case,
      {"ours": 9.0, "theirs": 3.0},
      {"ours": [0.010, 0.010, 0.040], "theirs": [0.020, 0.030, 0.040]},
  )
  assert row["p50_ms"] == pytest.approx({"ours": 10.0, "theirs": 30.0})
  # Linear between the second and the third of three.
  assert row["p99_ms"]["ours"] == pytest.approx(10 + 0.98 * 30)
  assert row["vectors_per_second"]["ours"] == pytest.approx(200.0)
  # Turn by turn 2, 3 and 1.
  assert row["ratio"] == pytest.approx(2.0)
  alone = latency.summarise(case, {"ours": 9.0}, {"ours": [0.01]})
  assert "ratio" not in alone

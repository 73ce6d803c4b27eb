from pathlib import Path
import sys

import pytest

from behavior_lm.common.errors import UserError
from experiments.benchmarks.race import encoder_race
from experiments.benchmarks.race.encoder_cases import make_case
from experiments.benchmarks.race.encoder_cases import model_names
from experiments.benchmarks.step.throughput import GEMM_FLOPS
from tests.peers import peers_python
from tests.peers import REPO

TOLD = {
    "ours": {
        "num_params": 10,
        "versions": {"jax": "1"},
        "flops": {"masked": 1e9, "all": 2e9, "theirs": 3e9},
        "xla_flags": "",
    },
    "theirs": {
        "num_params": 10,
        "versions": {"torch": "2"},
        "heads": ["all"],
        "attention": "sdpa",
    },
}


def test_figures_follow_from_the_seconds():
  case = make_case("bert", length=100, batch_size=2)
  row = encoder_race.summarise(
      case,
      TOLD,
      {
          "ours_masked": [1.0, 2.0, 1.0, 1.0, 4.0],
          "ours_all": [2.0, 2.0, 2.0, 4.0, 1.0],
          "theirs": [4.0, 4.0, 4.0, 4.0, 2.0],
      },
      {"ours": [GEMM_FLOPS / 4e9], "theirs": [GEMM_FLOPS / 2e9]},
      {"theirs": 1.0},
  )
  assert row["tokens_per_second"] == {
      "ours_masked": 200.0, "ours_all": 100.0, "theirs": 50.0,
  }  # fmt: skip
  assert row["ratio"] == {"ours_masked": 4.0, "ours_all": 2.0}
  # Pairs of one turn: 4, 2, 4, 4, 0.5.
  assert row["ratio_quartiles"]["ours_masked"] == [2.0, 4.0]
  assert row["gemm_gflops"] == pytest.approx({"ours": 4.0, "theirs": 2.0})
  assert row["gemm_quartiles"]["ours"] == pytest.approx([4.0, 4.0])
  # Of the higher peak; theirs does the work of its own head.
  assert row["share"] == pytest.approx(
      {"ours_masked": 0.25, "ours_all": 0.25, "theirs": 0.1875}
  )


def test_each_head_is_compared_with_the_same_one_where_theirs_has_it():
  row = encoder_race.summarise(
      make_case("modern", length=100, batch_size=2),
      TOLD,
      {
          "ours_masked": [1.0],
          "ours_all": [2.0],
          "theirs": [4.0],
          "theirs_masked": [3.0],
      },
      {"ours": [1.0]},
      {},
  )
  assert row["ratio"] == {"ours_masked": 3.0, "ours_all": 2.0}
  assert row["share"]["theirs_masked"] < row["share"]["theirs"]


@pytest.mark.slow
def test_ours_alone_has_no_ratio():
  row = encoder_race.race(
      make_case("bert", tiny=True, heads=["masked"]),
      root=REPO,
      peer=None,
      repeats=2,
      warm_up=1,
  )
  assert set(row["tokens_per_second"]) == {"ours_masked"}
  assert "ratio" not in row and row["share"]["ours_masked"] > 0
  assert "head on masked positions" in encoder_race.describe(row)


# Ours less theirs, in the sizes of tiny cases: see encoder_report._DIFFERENCES.
MORE_PARAMETERS = {"bert": 0, "albert": 0, "longformer": 0, "modern": 32}


@pytest.mark.slow
def test_forward_passes_are_raced_too():
  peer = [str(peers_python()), str(REPO / "peers" / "encoder_speed.py")]
  row = encoder_race.race(
      make_case("bert", mode="forward", tiny=True, threads=1),
      root=REPO,
      peer=peer,
      repeats=1,
      warm_up=1,
  )
  assert row["num_params"]["ours"] == row["num_params"]["theirs"]
  assert set(row["ratio"]) == {"ours_masked", "ours_all"}


@pytest.mark.slow
@pytest.mark.parametrize("model", model_names())
def test_a_race_is_of_two_models_of_one_size(model):
  peer = [str(peers_python()), str(REPO / "peers" / "encoder_speed.py")]
  row = encoder_race.race(
      make_case(model, dtype="bfloat16", tiny=True, threads=1),
      root=REPO,
      peer=peer,
      repeats=1,
      warm_up=1,
  )
  counts = row["num_params"]
  if model == "reformer":
    # Theirs has an output table and its bias, ours the join and the norms.
    assert counts["ours"] < counts["theirs"]
  else:
    assert counts["ours"] == counts["theirs"] + MORE_PARAMETERS[model]
  # Both start where every token is as likely.
  losses = row["losses"]
  assert losses["ours_all"] == pytest.approx(losses["theirs"], rel=0.1)
  assert set(row["ratio"]) == {"ours_masked", "ours_all"}
  assert "transformers" in encoder_race.describe(row)
  assert ("theirs_masked" in row["seconds"]) == (model == "modern")


def test_a_process_that_fails_is_quoted():
  program = "import sys; sys.exit('no such library')"
  worker = encoder_race.Worker([sys.executable, "-c", program], Path("."))
  with pytest.raises(UserError, match="it ended.*no such library"):
    worker.ask(do="setup")
  worker.close()

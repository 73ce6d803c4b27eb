import io
import json
import os
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmarks.race import encoder_speed
from experiments.benchmarks.race.encoder_cases import make_case
from experiments.benchmarks.race.encoder_cases import make_objective
from experiments.benchmarks.race.encoder_cases import model_names
from experiments.benchmarks.race.encoder_race import OURS
from experiments.benchmarks.step.throughput import full_rows


@pytest.mark.slow
def test_a_head_on_all_positions_has_the_loss_of_one_on_masked_positions():
  """The first loss: same parameters, same masks."""
  case = make_case("bert", tiny=True)
  losses = [
      encoder_speed.make_step(case, head).run() for head in ("masked", "all")
  ]
  assert losses[0] == pytest.approx(losses[1], rel=1e-5)
  assert losses[0] == pytest.approx(np.log(case["vocab_size"]), rel=0.1)


@pytest.mark.slow
def test_targets_everywhere_weigh_what_was_masked():
  case = make_case("bert", tiny=True)
  objective = make_objective(case)
  batch = full_rows(2, 128, case["vocab_size"])
  key = jax.random.key(0)
  _, targets = objective.corrupt(batch, key, {})
  spread = encoder_speed.spread_weights(targets, batch["tokens"].shape)
  assert spread.sum() == targets["weights"].sum() > 0
  at = jnp.take_along_axis(spread, targets["at"], 1)
  np.testing.assert_array_equal(at[targets["weights"] > 0], 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("model", model_names())
def test_a_forward_pass_gives_logits_where_it_was_asked(model):
  case = make_case(model, mode="forward", tiny=True)
  step = encoder_speed.make_step(case, "masked")
  assert np.isfinite(step.run()) and step.run() == step.run()
  assert step.program_bytes["arguments"] > 4 * 96 * 32
  assert encoder_speed.num_predicted(case, "masked") == 2 * 20
  assert encoder_speed.num_predicted(case, "all") == 2 * 128


@pytest.mark.slow
def test_training_lowers_the_loss_and_counts_three_times_the_forward_pass():
  steps = {}
  case = make_case("albert", tiny=True, heads=["all"])
  told = encoder_speed.answer({"do": "setup", "case": case}, steps)
  assert set(steps) == set(told["program_bytes"]) == {"all"}
  first, *_, last = (
      encoder_speed.answer({"do": "step", "head": "all"}, steps)
      for _ in range(8)
  )
  assert last["loss"] < first["loss"] and last["seconds"] > 0
  flops = encoder_speed.describe(case | {"mode": "forward"})["flops"]
  assert told["flops"]["all"] == pytest.approx(3 * flops["all"])
  assert told["flops"]["masked"] < told["flops"]["all"]


@pytest.mark.slow
def test_the_process_answers_errors_too_and_prints_nothing_else():
  questions = [{"do": "dance"}, {"do": "memory"}]
  done = subprocess.run(
      OURS,
      input="".join(json.dumps(question) + "\n" for question in questions),
      capture_output=True,
      text=True,
      env=os.environ,
      timeout=200,
  )
  answers = [json.loads(line) for line in io.StringIO(done.stdout)]
  assert answers[0] == {"error": "ValueError: no task 'dance'"}
  assert answers[1]["peak_bytes"] > 1e7 and len(answers) == 2

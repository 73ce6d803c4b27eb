import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from behavior_lm.training.optimizer import decay_mask
from behavior_lm.training.optimizer import make_optimizer
from behavior_lm.training.optimizer import make_schedule


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_the_rate_warms_up_then_decays(schedule):
  rate = make_schedule(
      learning_rate=1.0,
      warmup_share=0.1,
      total_steps=100,
      schedule=schedule,
      final_share=0.1,
  )
  assert float(rate(0)) == 0
  assert float(rate(5)) == pytest.approx(0.5)
  assert float(rate(10)) == pytest.approx(1.0)
  assert float(rate(55)) == pytest.approx(0.55)  # halfway, both shapes
  assert float(rate(100)) == pytest.approx(0.1)


def test_a_shorter_run_warms_up_in_fewer_steps():
  make = lambda steps: make_schedule(
      learning_rate=1.0, warmup_share=0.05, total_steps=steps
  )
  assert float(make(7_000)(350)) == float(make(500)(25)) == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(schedule="magic"), "'magic'"),
        (dict(warmup_share=1.0), "warmup_share is 1.0"),
        (dict(warmup_share=-0.1), "warmup_share is -0.1"),
    ],
)
def test_a_wrong_schedule_is_an_error(change, message):
  with pytest.raises(ValueError, match=message):
    make_schedule(**dict(learning_rate=1.0, total_steps=10) | change)


def params():
  make = lambda: {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}
  return {"encoder": {"embed": make(), "layers": {0: make()}}, "head": make()}


def updated(steps=3, **options):
  """Parameters after a few steps down the gradient of their squares' sum."""
  optimizer = make_optimizer(
      optax.constant_schedule(0.1), weight_decay=0.0, **options
  )
  values = params()
  state = optimizer.init(values)
  for _ in range(steps):
    updates, state = optimizer.update(values, state, values)
    values = optax.apply_updates(values, updates)
  return values, state


def test_only_matrices_decay_and_not_those_that_are_named():
  mask = decay_mask(params(), no_decay="embed")
  assert mask["encoder"]["layers"][0] == {"kernel": True, "bias": False}
  assert mask["encoder"]["embed"] == {"kernel": False, "bias": False}


@pytest.mark.slow
def test_frozen_parameters_stay_and_have_no_moments():
  got, state = updated(freeze="encoder/embed|head/bias")
  plain, whole = updated()
  jax.tree.map(
      np.testing.assert_array_equal,
      got["encoder"]["embed"],
      params()["encoder"]["embed"],
  )
  np.testing.assert_array_equal(got["head"]["bias"], 1.0)
  assert (got["head"]["kernel"] < 1).all()
  assert (plain["encoder"]["embed"]["kernel"] < 1).all()
  size = lambda tree: sum(x.size for x in jax.tree.leaves(tree))
  # Two moments of the 9 + 3 frozen numbers are saved.
  assert size(whole) - size(state) >= 2 * 12


def test_rates_are_scaled_by_the_first_pattern_that_is_found():
  got, _ = updated(
      steps=1, rate_scales={"encoder/embed": 0.0, "encoder": 0.5}
  )
  step = lambda tree: 1 - float(tree["kernel"][0, 0])
  head = step(got["head"])
  assert step(got["encoder"]["embed"]) == 0
  assert step(got["encoder"]["layers"][0]) == pytest.approx(head / 2, rel=1e-5)


def test_a_malformed_pattern_is_an_error():
  with pytest.raises(ValueError, match=r"pattern 'encoder\('"):
    make_optimizer(optax.constant_schedule(0.1), freeze="encoder(")

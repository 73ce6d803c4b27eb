import jax.numpy as jnp
import pytest

from behavior_lm.training.optim import decay_mask
from behavior_lm.training.optim import make_schedule


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_the_rate_warms_up_then_decays(schedule):
  rate = make_schedule(
      learning_rate=1.0,
      warmup_steps=10,
      total_steps=110,
      schedule=schedule,
      final_share=0.1,
  )
  assert float(rate(0)) == 0
  assert float(rate(5)) == pytest.approx(0.5)
  assert float(rate(10)) == pytest.approx(1.0)
  assert float(rate(60)) == pytest.approx(0.55)  # halfway, both shapes
  assert float(rate(110)) == pytest.approx(0.1)


def test_only_matrices_decay():
  params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
  assert decay_mask(params) == {"kernel": True, "bias": False}


def test_a_warm_up_longer_than_the_run_is_an_error():
  with pytest.raises(ValueError, match="must be below total_steps"):
    make_schedule(learning_rate=1.0, warmup_steps=10, total_steps=10)


def test_an_unknown_schedule_is_an_error():
  with pytest.raises(ValueError, match="'magic'"):
    make_schedule(
        learning_rate=1.0, warmup_steps=1, total_steps=10, schedule="magic"
    )

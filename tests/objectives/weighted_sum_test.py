import dataclasses

import jax
import jax.numpy as jnp
import pytest

from behavior_lm.objectives.objective import Requires
from behavior_lm.objectives.weighted_sum import WeightedSum


@dataclasses.dataclass(frozen=True)
class Power:
  """The model's sum to some power; counts its calls and says its key."""

  power: int
  requires: Requires

  def init_state(self):
    return {"calls": jnp.zeros(())}

  def loss(self, model, batch, state, key):
    loss = model(batch).sum() ** self.power
    draw = jax.random.uniform(key)
    metrics = {"loss": loss, "draw": draw, "padding_share": jnp.zeros(())}
    return loss, metrics, {"calls": state["calls"] + 1}


READS = Requires(("tokens", "users"))
HIDES = Requires(("tokens", "time_gaps"), hides_events=True)
FUTURE = Requires(("tokens",), predicts_future=True)


def test_losses_join_by_weight_and_each_member_keeps_its_state_and_names():
  both = WeightedSum({"a": (1.0, Power(1, READS)), "b": (0.5, Power(2, HIDES))})
  loss, metrics, state = both.loss(
      lambda batch: batch["x"],
      {"x": jnp.asarray([1.0, 2.0])},
      both.init_state(),
      jax.random.key(0),
  )
  assert float(loss) == float(metrics["loss"]) == 3 + 0.5 * 9
  assert (float(metrics["a/loss"]), float(metrics["b/loss"])) == (3, 9)
  # A study reads the batch's share under its own name.
  assert "padding_share" in metrics and "a/padding_share" not in metrics
  # Two members never draw the same numbers.
  assert metrics["a/draw"] != metrics["b/draw"]
  assert jax.tree.map(float, state) == {"a": {"calls": 1}, "b": {"calls": 1}}


def test_what_the_members_require_is_united():
  both = WeightedSum({"a": (1.0, Power(1, READS)), "b": (1.0, Power(1, HIDES))})
  assert both.requires == Requires(
      ("tokens", "users", "time_gaps"), hides_events=True
  )


def test_one_model_cannot_see_both_sides_and_the_past_alone():
  members = {"a": (1.0, Power(1, HIDES)), "b": (1.0, Power(1, FUTURE))}
  with pytest.raises(ValueError, match="a reads both sides .* and b its past"):
    WeightedSum(members)


def test_a_negative_weight_is_refused():
  with pytest.raises(ValueError, match="a.weight is -1"):
    WeightedSum({"a": (-1.0, Power(1, READS))})

import jax
import jax.numpy as jnp

from behavior_lm.training.checkpoint import Checkpoints


def test_a_checkpoint_is_of_the_moment_it_was_asked_for(tmp_path, monkeypatch):
  """However late Orbax writes: the next step changes what it was given."""
  checkpoints = Checkpoints(tmp_path)
  state = {
      "params": {"a": jnp.arange(3.0)},
      "model_state": {"bias": jnp.ones(2)},
      "opt_state": {},
      "objective_state": {},
      "step": jnp.asarray(7),
  }
  data, meta = {"next": {"row": 5}}, {"window": {"sums": {"loss": 0.5}}}
  save = checkpoints._manager.save

  def late_save(*args, **kwargs):
    data["next"]["row"] = 6
    meta["window"]["sums"]["loss"] = 3.5
    return save(*args, **kwargs)

  monkeypatch.setattr(checkpoints._manager, "save", late_save)
  checkpoints.save(state, data, meta)
  checkpoints.wait()
  sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
  shardings = jax.tree.map(lambda _: sharding, state)
  restored, data, meta = checkpoints.restore(state, shardings)
  assert int(restored["step"]) == 7
  assert restored["model_state"]["bias"].tolist() == [1, 1]
  assert data == {"next": {"row": 5}}
  assert meta == {"window": {"sums": {"loss": 0.5}}}

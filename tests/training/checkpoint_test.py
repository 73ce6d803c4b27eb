import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.common.errors import UserError
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


def state_of(step):
  return {
      "params": {"a": jnp.full(3, float(step))},
      "model_state": {"bias": jnp.ones(2)},
      "opt_state": {},
      "objective_state": {},
      "step": jnp.asarray(step),
  }


def cut_all(folder):
  for path in folder.rglob("*"):
    if path.is_file():
      path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def remove_model(folder):
  shutil.rmtree(folder / "model")


def empty_metadata(folder):
  for path in folder.rglob("*META*"):
    if path.is_file():
      path.write_bytes(b"")


def remove_arrays(folder):
  for path in folder.rglob("d"):
    shutil.rmtree(path)


def saved(folder, steps=(1, 2)):
  checkpoints = Checkpoints(folder, keep=None)
  for step in steps:
    checkpoints.save(state_of(step), {"at": step}, {})
  checkpoints.close()


def shardings_of(state):
  sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
  return jax.tree.map(lambda _: sharding, state)


@pytest.mark.parametrize(
    "damage", [cut_all, remove_model, empty_metadata, remove_arrays]
)
def test_the_checkpoint_before_a_damaged_one_is_taken(tmp_path, capsys, damage):
  folder = tmp_path / "checkpoints"
  saved(folder)
  damage(folder / "2")
  state = state_of(0)
  checkpoints = Checkpoints(folder, keep=None)
  params, _, step = checkpoints.restore_model(
      state["params"], state["model_state"]
  )
  assert (step, params["a"].tolist()) == (1, [1, 1, 1])
  assert "continuing with checkpoint 1 instead" in capsys.readouterr().err
  with pytest.raises(UserError, match="checkpoint 2 does not fit this model"):
    checkpoints.restore_model(state["params"], state["model_state"], 2)
  restored, data, _ = checkpoints.restore(state, shardings_of(state))
  assert (int(restored["step"]), data) == (1, {"at": 1})
  # The step is saved again, so the damaged one made room.
  assert (tmp_path / "checkpoints-damaged-2").is_dir()
  checkpoints.save(state_of(2), {"at": 2}, {})
  checkpoints.wait()
  assert checkpoints.latest_step() == 2
  restored, _, _ = checkpoints.restore(state, shardings_of(state))
  assert int(restored["step"]) == 2
  checkpoints.close()


def flip_bit(folder, numbers):
  """Flips a bit of an array in each file that holds its bytes.

  The array must be random: zstd then stores its bytes as they are.
  """
  some = np.asarray(numbers).tobytes()[1_000:1_032]
  flipped = 0
  for file in folder.rglob("*"):
    data = bytearray(file.read_bytes()) if file.is_file() else bytearray()
    if (at := data.find(some)) >= 0:
      data[at] ^= 4
      file.write_bytes(data)
      flipped += 1
  assert flipped


def random_state(step):
  """A state of random numbers, whose bytes zstd stores as they are."""
  numbers = jax.random.bits(jax.random.key(step), (3, 1_000)).view(jnp.float32)
  return state_of(step) | {
      "params": {"a": numbers[0], "b": {"c": numbers[1]}},
      "opt_state": {"mu": numbers[2]},
  }


@pytest.fixture(scope="module")
def random_checkpoints(tmp_path_factory):
  folder = tmp_path_factory.mktemp("random") / "checkpoints"
  checkpoints = Checkpoints(folder, keep=None)
  for step in (1, 2):
    checkpoints.save(random_state(step), {"at": step}, {"loss": 0.1 * step})
  checkpoints.close()
  return folder


@pytest.mark.parametrize("item", ["model", "rest"])
def test_a_flipped_bit_is_found_and_the_checkpoint_before_is_taken(
    random_checkpoints, tmp_path, capsys, item
):
  folder = shutil.copytree(random_checkpoints, tmp_path / "checkpoints")
  of = {"model": ("params", "a"), "rest": ("opt_state", "mu")}[item]
  flip_bit(folder / "2", random_state(2)[of[0]][of[1]])
  want = random_state(1)
  checkpoints = Checkpoints(folder, keep=None)
  if item == "model":
    with pytest.raises(UserError, match=r"has changed .* \(params/.*damaged"):
      checkpoints.restore_anything(2)
    found = checkpoints.restore_anything()
    np.testing.assert_array_equal(found["a"], want["params"]["a"])
  found, data, _ = checkpoints.restore(want, shardings_of(want))
  checkpoints.close()
  assert (int(found["step"]), data) == (1, {"at": 1})
  assert "continuing with checkpoint 1 instead" in capsys.readouterr().err


def test_a_changed_state_of_the_data_is_found(random_checkpoints, tmp_path):
  folder = shutil.copytree(random_checkpoints, tmp_path / "checkpoints")
  file = folder / "2" / "data" / "metadata"
  file.write_text(file.read_text().replace("2", "3"))
  state = random_state(2)
  checkpoints = Checkpoints(folder, keep=None)
  with pytest.raises(UserError, match="has changed since it was saved"):
    checkpoints.restore(state, shardings_of(state), 2)
  checkpoints.close()


def test_a_checkpoint_without_checksums_is_read_as_before(
    random_checkpoints, tmp_path
):
  folder = shutil.copytree(random_checkpoints, tmp_path / "checkpoints")
  shutil.rmtree(folder / "2" / "checksums")
  state = random_state(2)
  checkpoints = Checkpoints(folder, keep=None)
  restored, data, meta = checkpoints.restore(state, shardings_of(state), 2)
  checkpoints.close()
  assert (data, meta) == ({"at": 2}, {"loss": 0.2})
  for one, other in zip(
      jax.tree.leaves(restored), jax.tree.leaves(state), strict=True
  ):
    np.testing.assert_array_equal(one, other)


def test_a_model_of_another_shape_is_refused_and_nothing_is_moved(tmp_path):
  folder = tmp_path / "checkpoints"
  saved(folder)
  state = state_of(0) | {"params": {"b": jnp.zeros(5)}}
  checkpoints = Checkpoints(folder, keep=None)
  with pytest.raises(UserError, match="checkpoint 2 does not fit"):
    checkpoints.restore(state, shardings_of(state))
  checkpoints.close()
  assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoints"]
  assert (folder / "2").is_dir()

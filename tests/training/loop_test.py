"""The loop with a recipe that knows no tokens; tests/recipes has real runs."""

import json
import shutil
import signal

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from behavior_lm.artifacts.metrics import read_metrics
from behavior_lm.common.errors import UserError
from behavior_lm.training.checkpoint import Checkpoints
from tests import command_server
from tests.devices import several_devices
from tests.toy_recipe import toy_config
from tests.toy_recipe import ToyRecipe
from tests.toy_recipe import train_toy

DEVICE = jax.sharding.SingleDeviceSharding(jax.devices()[0])


def losses(run):
  lines = read_metrics(run / "metrics.jsonl")
  return {m["step"]: m["loss"] for m in lines if "loss" in m}


def saved(run, step=None, folder="checkpoints"):
  """Everything in a checkpoint, as NumPy arrays."""
  folder = run / folder
  step = step or max(int(path.name) for path in folder.iterdir())
  found = {}
  with ocp.StandardCheckpointer() as reader:
    for item in ("model", "rest"):
      place = folder / f"{step}/{item}"
      target = jax.tree.map(
          lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=DEVICE),
          reader.metadata(place).item_metadata.tree,
      )
      found[item] = jax.tree.map(np.asarray, reader.restore(place, target))
  return found


def assert_equal(one, other):
  jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """20 steps that nobody stopped."""
  run = tmp_path_factory.mktemp("whole") / "run"
  assert train_toy(run) == "finished"
  return run


def test_it_learns_and_changes_every_part_of_the_state(whole):
  curve = losses(whole)
  assert sorted(curve) == list(range(1, 21))
  assert curve[20] < curve[1] / 2
  state = saved(whole)
  # The model was called twice a step, whatever the loop knows of it.
  assert state["model"]["model_state"]["calls"] == 40
  assert state["rest"]["objective_state"]["mean_error"] > 0
  assert np.any(state["rest"]["objective_state"]["seen"])


def test_the_recipes_units_become_rates_and_epochs_are_counted(whole):
  line = read_metrics(whole / "metrics.jsonl")[-1]
  assert line["points_per_second"] > 0
  assert line["epoch"] == pytest.approx(20 * 8 / 40)


def test_the_command_and_the_recipe_are_kept_in_the_run_folder(whole):
  about = json.loads((whole / "run.json").read_text())
  assert about["recipe"] == "toy" and about["layout"] == 2
  assert about["command"].startswith("python ")


@pytest.mark.slow
def test_a_run_stopped_in_the_middle_goes_on_bit_for_bit(whole, tmp_path):
  run = tmp_path / "run"
  assert train_toy(run, max_minutes=1e-9) == "time"
  assert train_toy(run) == "finished"
  assert losses(run) == losses(whole)
  assert_equal(saved(run), saved(whole))


def start(run, devices, kill_after=0):
  return command_server.run(
      "tests/toy_recipe.py",
      run,
      f"--kill_after={kill_after}",
      env=command_server.environment(XLA_FLAGS=several_devices(devices)),
  )


def finish(run, devices):
  done = start(run, devices)
  assert done.returncode == 0, done.stderr[-2000:]
  assert f"DEVICES {devices}" in done.stdout


@pytest.mark.slow
def test_kill_9_resumes_bit_for_bit_on_one_and_on_four_devices(tmp_path):
  """With content in the objective's state and in the model's variables."""
  for devices in (1, 4):
    finish(tmp_path / f"whole{devices}", devices)
    for after in (3, 10):
      run = tmp_path / f"killed{devices}_{after}"
      killed = start(run, devices, kill_after=after)
      assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
      if after == 10 and devices == 4:
        shutil.copytree(run, tmp_path / "moved")
      finish(run, devices)
      assert losses(run) == losses(tmp_path / f"whole{devices}")
      assert_equal(saved(run), saved(tmp_path / f"whole{devices}"))
  # What four devices began, one device ends. Sums over a batch are added in
  # another order there, so the last bits may differ.
  finish(tmp_path / "moved", 1)
  jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
      saved(tmp_path / "moved"),
      saved(tmp_path / "whole4"),
  )


@pytest.mark.slow
def test_updates_that_are_not_finite_are_refused_and_counted(whole, tmp_path):
  run = tmp_path / "run"
  recipe = ToyRecipe(None, poison=(5, 6))
  assert train_toy(run, recipe=recipe, log_every=4) == "finished"
  lines = read_metrics(run / "metrics.jsonl")
  assert [line.get("skipped", 0) for line in lines] == [0, 2, 0, 0, 0]
  assert all(np.isfinite(line["loss"]) for line in lines)
  # Nothing of the state has moved in the two steps but the step's number.
  assert saved(run)["model"]["model_state"]["calls"] == 2 * 18
  assert saved(run)["rest"]["step"] == 20


@pytest.mark.slow
def test_too_many_refused_updates_stop_the_run_and_keep_the_batch(tmp_path):
  run = tmp_path / "run"
  recipe = ToyRecipe(None, poison=(6, 7, 8))
  with pytest.raises(UserError, match="3 steps in a row.*refused_batch_8"):
    train_toy(run, recipe=recipe, max_skipped=3)
  with np.load(run / "refused_batch_8.npz", allow_pickle=False) as batch:
    assert np.isnan(batch["y"]).any()
  # The state that is kept is a good one.
  for leaf in jax.tree.leaves(saved(run)["model"]):
    assert np.isfinite(leaf).all()


def test_a_finished_run_is_not_trained_again(whole, tmp_path):
  run = shutil.copytree(whole, tmp_path / "run")
  before = (run / "metrics.jsonl").read_text()
  assert train_toy(run) == "finished"
  assert (run / "metrics.jsonl").read_text() == before


def test_more_steps_are_refused_with_the_way_to_go_on(whole):
  with pytest.raises(UserError, match="total_steps.*init_from.encoder"):
    train_toy(whole, total_steps=40)


@pytest.mark.slow
def test_evaluators_run_at_their_own_cadence_and_at_the_end(tmp_path):
  config = {"valid": {"every": 7}, "test": {"every": 0}, "often": {"every": 5}}
  train_toy(tmp_path / "run", evals=config)
  lines = read_metrics(tmp_path / "run" / "metrics.jsonl")
  found = lambda name: [
      m["step"] for m in lines if f"eval/{name}/distance" in m
  ]
  assert found("valid") == [7, 14, 20]
  assert found("often") == [5, 10, 15, 20]
  assert found("test") == []


@pytest.mark.slow
def test_the_best_checkpoint_is_kept_and_the_run_stops_early(tmp_path):
  run = tmp_path / "run"
  options = dict(
      recipe=ToyRecipe(None, turn=8),
      evals={"valid": {"every": 4}},
      keep_best={"metric": "valid/distance", "mode": "min", "patience": 2},
  )
  assert train_toy(run, **options) == "early"
  assert [p.name for p in (run / "checkpoints_best").iterdir()] == ["8"]
  assert max(losses(run)) == 16
  assert saved(run, folder="checkpoints_best")["rest"]["step"] == 8
  # Stopped early is an end: the same command does not go on.
  assert train_toy(run, **options) == "early"
  assert max(losses(run)) == 16


def test_a_best_figure_that_is_never_measured_is_an_error(tmp_path):
  with pytest.raises(UserError, match="valid measures distance"):
    train_toy(
        tmp_path / "run",
        evals={"valid": {"every": 4}},
        keep_best={"metric": "valid/accuracy", "mode": "max", "patience": 0},
    )


@pytest.mark.slow
def test_init_from_restores_the_subtrees_it_names(whole, tmp_path):
  run = tmp_path / "run"
  train_toy(run, init_from__encoder=str(whole), total_steps=1,
            optim__freeze="encoder")
  got, source = saved(run)["model"]["params"], saved(whole)["model"]["params"]
  # Frozen parameters are as they came; the others are new.
  assert_equal(got["encoder"], source["encoder"])
  assert not np.array_equal(got["head"]["kernel"], source["head"]["kernel"])


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ({"decoder": "WHOLE"}, "init_from.decoder: .* no parameters 'decoder'"),
        ({"encoder": "WHOLE/typo"}, "init_from.encoder: .*typo has no checkp"),
    ],
)
def test_init_from_of_something_else_is_named(
    whole, tmp_path, sources, message
):
  sources = {k: v.replace("WHOLE", str(whole)) for k, v in sources.items()}
  with pytest.raises(UserError, match=message):
    train_toy(tmp_path / "run", init_from=sources)
  assert not (whole / "typo").exists()


def damage(checkpoint):
  for path in (checkpoint / "model").rglob("*"):
    if path.is_file():
      path.write_bytes(b"junk")


@pytest.mark.slow
def test_the_checkpoint_before_a_damaged_one_is_resumed(
    whole, tmp_path, capsys
):
  run = shutil.copytree(whole, tmp_path / "run")
  damage(run / "checkpoints" / "20")
  train_toy(run)
  assert losses(run) == losses(whole)
  assert "checkpoint 20 " in capsys.readouterr().err
  assert (run / "checkpoints-damaged-20").is_dir()
  for saved in (run / "checkpoints").iterdir():
    damage(saved)
  with pytest.raises(UserError, match="damaged.*delete"):
    train_toy(run)


def test_restored_variables_fit_the_model_alone(whole):
  reader = Checkpoints(whole / "checkpoints", keep=None)
  found = reader.restore_anything()
  reader.close()
  assert set(found) == {"encoder", "head"}
  assert toy_config().total_steps == 20

"""Runs whose rows grow: what is refused, and that they resume exactly."""

import pytest

from behavior_lm.artifacts.metrics import read_metrics
from behavior_lm.common.errors import UserError
from behavior_lm.recipes import pretrain
from behavior_lm.recipes.pretrain import Pretrain
from behavior_lm.recipes.shared.lengths import length_stages
from behavior_lm.recipes.train import train
from behavior_lm.training import loop
from tests.tiny import tiny_config

# The fixtures of this file take seconds.
pytestmark = pytest.mark.slow

SCHEDULE = "16:0.5,32:0.5"


def config_of(dataset, **changes):
  small = dict(
      total_steps=6,
      checkpoint_every=2,
      # The head on the embeddings: what is tested lies around the model.
      model__num_layers=0,
      data__length_schedule=SCHEDULE,
      optim__rate_stages="1:0.5,0.5:0.5",
  )
  return tiny_config(dataset, **(small | changes))


def figures(run):
  """What each step measured, but for times."""
  names = ("loss", "grad_norm", "learning_rate", "padding_share", "epoch")
  return {
      line["step"]: [line[name] for name in names]
      for line in read_metrics(run / "metrics.jsonl")
  }


@pytest.fixture(scope="module")
def whole(dataset_path, tmp_path_factory):
  """6 steps that nobody stopped, and their compiled step."""
  compile_step, compiled = loop.compile_step, []

  def spy(*args):
    compiled.append(compile_step(*args))
    return compiled[-1]

  run = tmp_path_factory.mktemp("lengths") / "run"
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(loop, "compile_step", spy)
    assert train(config_of(dataset_path), run) == "finished"
  return run, compiled[0]


def test_the_step_is_compiled_once_per_length(whole):
  run, step = whole
  assert sorted(figures(run)) == list(range(1, 7))
  assert step._cache_size() == 2


class Killed(BaseException):
  """No handler of the loop stops it."""


def test_a_run_that_dies_behind_a_change_of_length_goes_on_bit_for_bit(
    whole, dataset_path, tmp_path, monkeypatch
):
  """It goes on from step 2; the change is behind step 3."""
  want, step = whole
  monkeypatch.setattr(loop, "compile_step", lambda *args: step)
  put_batch, seen = loop.sharding.put_batch, []

  def die(batch, mesh):
    seen.append(batch)
    if len(seen) == 4:
      raise Killed
    return put_batch(batch, mesh)

  run = tmp_path / "run"
  with monkeypatch.context() as patch:
    patch.setattr(loop.sharding, "put_batch", die)
    with pytest.raises(Killed):
      train(config_of(dataset_path), run)
  assert max(figures(run)) < 4
  assert train(config_of(dataset_path), run) == "finished"
  assert figures(run) == figures(want)


def test_the_learning_rate_has_a_factor_by_stage(whole):
  want, _ = loop.optimizer_of(config_of("", optim__rate_stages=""))
  for step, found in figures(whole[0]).items():
    factor = 1 if step <= 3 else 0.5
    assert found[2] == pytest.approx(factor * float(want(step - 1)))


def test_batches_of_all_stages_hold_as_many_tokens():
  stages = length_stages(
      config_of("", data__length_schedule="8:0.2,16:0.3,32:0.5")
  )
  shapes = [(own.data.batch_size, own.data.max_length) for own, _ in stages]
  assert shapes == [(16, 8), (8, 16), (4, 32)]
  assert [end for _, end in stages] == [1, 3, 6]


def test_the_data_says_which_lengths_it_has(dataset_path):
  recipe = Pretrain(config_of(dataset_path))
  text = "rows of 16 up to step 3, 32 up to step 6 tokens"
  assert text in recipe.describe()
  assert recipe.batch_shapes()["tokens"][0] == (4, 32)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data__length_schedule": "8:0.5,16:0.5"}, "max_length, 32"),
        ({"data__length_schedule": "16:0.3,8:0.3,32:0.4"}, "must rise"),
        ({"data__length_schedule": "12:0.4,32:0.6"}, "no whole number of rows"),
        ({"data__length_schedule": "8;0.4"}, "length_schedule: '8;0.4' in"),
        ({"optim__rate_stages": "1:0.4"}, "config.optim: the shares"),
    ],
)
def test_schedules_that_do_not_fit_are_refused(dataset_path, changes, message):
  with pytest.raises(UserError, match=message):
    Pretrain(config_of(dataset_path, **changes))


def test_the_rows_of_every_stage_must_divide_among_devices(
    dataset_path, monkeypatch
):
  checked = []
  monkeypatch.setattr(
      pretrain, "check_loop", lambda _, rows: checked.append(rows)
  )
  Pretrain(config_of(dataset_path))
  assert checked == [8, 4]

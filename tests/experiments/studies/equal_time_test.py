import json

import pytest

from behavior_lm.common.errors import UserError
from experiments.studies import equal_time
from tests.tiny import tiny_config
from tests.tiny import tiny_dataset


def line(step, seconds, **changes):
  return {
      "step": step,
      "loss": 5.0 - step / 10,
      "seconds": seconds,
      "tokens_per_second": 100.0,
      "events_per_second": 300.0,
      "padding_share": 0.1,
  } | changes


def run_folder(path, lines, batch_size=2, max_length=32):
  path.mkdir()
  data = {"batch_size": batch_size, "max_length": max_length}
  (path / "config.json").write_text(json.dumps({"data": data}))
  text = "".join(json.dumps(values) + "\n" for values in lines)
  (path / "metrics.jsonl").write_text(text)
  return path


@pytest.fixture(scope="module")
def dataset_path(tmp_path_factory):
  return tiny_dataset(tmp_path_factory.mktemp("data"))


@pytest.mark.slow
def test_a_plan_is_measured_and_only_once(dataset_path, tmp_path):
  config = tiny_config(dataset_path)
  make = lambda minutes: equal_time.plan_steps(
      config, tmp_path, minutes=minutes, probe_steps=12
  )
  plan = make(0.5)
  assert plan["probed_steps"] == 9
  assert 1e-4 < plan["seconds_a_step"] < 10
  assert plan["total_steps"] == int(30 / plan["seconds_a_step"])
  assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]
  changed = plan | {"total_steps": 12}
  (tmp_path / "plan.json").write_text(json.dumps(changed))
  assert make(0.5) == changed
  with pytest.raises(UserError, match="planned for 0.5 minutes, not 1"):
    make(1.0)


def test_another_seed_has_the_steps_of_the_first(tmp_path):
  config = tiny_config(tmp_path)
  (tmp_path / "bert").mkdir()
  plan = equal_time.make_plan([50.0], 100, 0.5)
  (tmp_path / "bert" / "plan.json").write_text(json.dumps(plan))
  make = lambda minutes: equal_time.plan_steps(
      config,
      tmp_path / "bert_seed1",
      minutes=minutes,
      probe_steps=12,
      like=tmp_path / "bert",
  )
  with pytest.raises(UserError, match="bert was planned for 0.5 minutes"):
    make(1.0)
  assert make(0.5) == plan
  # Kept: the first run may be moved away.
  (tmp_path / "bert" / "plan.json").unlink()
  assert make(0.5) == plan


def test_too_few_steps_measure_nothing(tmp_path):
  config = tiny_config(tmp_path)
  with pytest.raises(UserError, match="7 steps are too few.*at least 8"):
    equal_time.plan_steps(config, tmp_path, minutes=1, probe_steps=7)
  assert not list(tmp_path.iterdir())


def test_the_median_step_says_how_many_fit():
  # Steps of 2 s; a slow one changes nothing.
  plan = equal_time.make_plan([50.0, 50.0, 1.0], 100, 0.5)
  assert plan == {
      "minutes": 0.5,
      "seconds_a_step": 2.0,
      "probed_steps": 3,
      "total_steps": 15,
  }
  with pytest.raises(UserError, match="2.00 s: 0.05 minutes are less than two"):
    equal_time.make_plan([50.0], 100, 0.05)


@pytest.mark.parametrize(
    "total_steps, log_every", [(4_000, 20), (1_000, 20), (50, 2), (2, 1)]
)
def test_the_schedule_fits_the_steps(tmp_path, total_steps, log_every):
  config = tiny_config(tmp_path)
  plan = {"total_steps": total_steps, "seconds_a_step": 0.5}
  fitted = equal_time.fit(config, plan)
  assert fitted.total_steps == total_steps
  assert fitted.log_every == log_every
  # One save a minute.
  assert fitted.checkpoint_every == 120
  assert config.total_steps == 20


def test_minutes_leave_out_the_first_compilation(tmp_path):
  # 10 steps of 2 s; the first line took 60 s more.
  run = run_folder(tmp_path / "run", [line(10, 80.0), line(20, 100.0)])
  facts = equal_time.facts(run)
  assert facts["steps"] == 20
  assert facts["minutes"] == pytest.approx(40 / 60)
  assert facts["wall_minutes"] == pytest.approx(100 / 60)
  assert facts["tokens_per_second"] == pytest.approx(20 * 64 / 40)
  assert facts["events_per_second"] == pytest.approx(3 * 20 * 64 / 40)
  points = equal_time.curve(run)
  assert [point["minutes"] * 60 for point in points] == pytest.approx([20, 40])
  assert points[1]["loss"] == 3.0


def test_lines_weigh_by_their_steps(tmp_path):
  lines = [
      line(10, 20.0, padding_share=0.4),
      line(40, 80.0, padding_share=0.0),
  ]
  run = run_folder(tmp_path / "run", lines)
  assert equal_time.facts(run)["padding_share"] == pytest.approx(0.1)


def test_the_share_of_hidden_events_weighs_lines_by_their_steps(tmp_path):
  shares = {10: 0.5, 40: 0.1}
  run = run_folder(
      tmp_path / "run",
      [line(step, 2.0 * step, **{"x/mask_rate": s}) for step, s in
       shares.items()],
  )
  assert equal_time.masked_share(run) == pytest.approx((0.2, 0.1, 0.5))
  plain = run_folder(tmp_path / "plain", [line(10, 20.0)])
  assert equal_time.masked_share(plain) is None


def test_lines_of_evaluations_are_no_training(tmp_path):
  run = run_folder(tmp_path / "run", [line(10, 20.0), {"step": 10, "eval": 1}])
  assert len(equal_time.read_lines(run)) == 1


def test_a_run_without_lines_is_named(tmp_path):
  run = run_folder(tmp_path / "run", [])
  with pytest.raises(UserError, match="tells of no training step"):
    equal_time.facts(run)


def test_the_last_steps_join_the_line_before_if_they_are_few(tmp_path):
  lines = [line(10, 1.0), line(20, 2.0, loss=3.0), line(21, 2.1, loss=14.0)]
  made = run_folder(tmp_path / "few", lines)
  assert [point["step"] for point in equal_time.curve(made)] == [10, 21]
  assert equal_time.curve(made)[-1]["loss"] == pytest.approx(4.0)
  assert equal_time.facts(made)["train_loss"] == pytest.approx(4.0)
  made = run_folder(tmp_path / "half", [*lines[:2], line(25, 2.5, loss=9.0)])
  assert [point["step"] for point in equal_time.curve(made)] == [10, 20, 25]

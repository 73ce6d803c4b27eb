import json

import pytest

from tests import command_server
from tests.devices import several_devices


def run_on(
    devices, dataset, run, data, model, steps=4, architecture="bert", *more
):
  done = command_server.run(
      "tests/recipes/multi_device_program.py",
      *(dataset, run, data, model, steps, architecture, *more),
      env=command_server.environment(XLA_FLAGS=several_devices(devices)),
      timeout=500,
  )
  assert done.returncode == 0, done.stderr[-3000:]
  line = next(x for x in done.stdout.splitlines() if x.startswith("RESULT"))
  return json.loads(line.removeprefix("RESULT "))


@pytest.mark.slow
def test_four_devices_compute_what_one_computes_and_share_a_checkpoint(
    dataset_path, tmp_path
):
  one = run_on(1, dataset_path, tmp_path / "one", 1, 1, steps=8)
  many = run_on(4, dataset_path, tmp_path / "many", 2, 2, steps=4)
  assert many["devices"] == 4
  for step, loss in many["losses"].items():
    assert loss == pytest.approx(one["losses"][step], abs=2e-4)
  # The big matrices and both of their Adam moments really are split.
  split = [
      name
      for name, (shape, shard) in many["shards"].items()
      if shape != shard
  ]
  for leaf in ("qkv", "mlp_in", "mlp_out"):
    assert sum(f"['{leaf}']['kernel']" in name for name in split) == 3
  # A run that starts on four devices goes on on one.
  resumed = run_on(1, dataset_path, tmp_path / "many", 1, 1, steps=4)
  assert len(resumed["losses"]) == 8
  for step, loss in resumed["losses"].items():
    assert loss == pytest.approx(one["losses"][step], abs=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize("more", [
    ("longformer", "next_events+future_events"),
    # Its local layers have windows on both sides.
    ("reformer", "masked_events"),
])
def test_every_kernel_runs_on_several_devices(dataset_path, tmp_path, more):
  """Windows, hashing, pieces of logits and draws, their batch divided."""
  one = run_on(1, dataset_path, tmp_path / "one", 1, 1, 2, *more)
  many = run_on(4, dataset_path, tmp_path / "many", 2, 2, 2, *more)
  assert many["devices"] == 4 and len(many["losses"]) == 2
  for step, loss in many["losses"].items():
    assert loss == pytest.approx(one["losses"][step], abs=2e-4)

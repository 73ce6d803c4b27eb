"""deepctr_torch computes the same with the same weights."""

from flax import nnx
import jax
import numpy as np
import pytest
from safetensors.numpy import load_file
from safetensors.numpy import save_file

from behavior_lm.layers.experts.gated import Mmoe
from behavior_lm.layers.experts.gated import Ple
from tests.layers.experts.gated_test import make_biases_count
from tests.layers.experts.gated_test import run
from tests.peers import run_peer

INPUTS, TOWERS, HIDDEN = 5, 3, (6, 4)


def of_stack(stack, name):
  parts = {"kernel": stack.kernels, "bias": stack.biases}
  return {
      f"{name}.{kind}.{number}": np.asarray(value[...])
      for kind, values in parts.items()
      for number, value in enumerate(values)
  }


@pytest.mark.slow
def test_mixtures_are_those_of_deepctr(tmp_path):
  rngs = nnx.Rngs(0)
  mmoe = Mmoe(INPUTS, TOWERS, num_experts=4, hidden=HIDDEN, rngs=rngs)
  # There, as many experts are shared as a task has of its own.
  ple = Ple(INPUTS, TOWERS, num_layers=2, own_experts=2, shared_experts=2,
            hidden=HIDDEN, rngs=rngs)
  case = {"x": np.asarray(jax.random.normal(jax.random.key(0), (7, INPUTS)))}
  for module in (mmoe, ple):
    make_biases_count(module)
  case |= of_stack(mmoe.experts, "mmoe")
  case["mmoe.gates"] = np.asarray(mmoe.gates.kernel[...])
  for number, layer in enumerate(ple.layers):
    at = f"ple.{number}"
    case |= of_stack(layer.own, f"{at}.own")
    case |= of_stack(layer.shared, f"{at}.shared")
    case[f"{at}.gates"] = np.asarray(layer.gates.kernel[...])
    if layer.shared_gate is not None:
      case[f"{at}.shared_gate"] = np.asarray(layer.shared_gate.kernel[...])
  save_file(case, tmp_path / "in")
  run_peer("domain_outputs", "experts", tmp_path / "in", tmp_path / "out")
  want = load_file(tmp_path / "out")
  assert want["mmoe"].any() and want["ple"].any()
  np.testing.assert_allclose(run(mmoe, case["x"]), want["mmoe"], atol=1e-5)
  np.testing.assert_allclose(run(ple, case["x"]), want["ple"], atol=1e-5)

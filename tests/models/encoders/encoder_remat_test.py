"""What layers keep for the gradient of a whole model."""

from flax import nnx
import jax
import pytest

from tests.models.encoders.encoder_test import full_rows
from tests.models.encoders.encoder_test import make


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "scan"), [("bert", False), ("reformer", True)]
)
def test_each_remat_policy_keeps_less_than_the_one_before_it(name, scan):
  """That results stay the same is tested of the layers' stack."""
  batch = full_rows(256)
  # Two periods of layers at least.
  depth = {"bert": 2, "reformer": 4}[name]
  sizes = dict(num_layers=depth, max_length=256, scan_layers=scan)
  memory = {}
  for remat in ("none", "dots", "full"):
    graphdef, params = nnx.split(make(name, **sizes, remat=remat), nnx.Param)

    def loss(params, graphdef=graphdef):
      return (nnx.merge(graphdef, params).encode(batch) ** 2).sum()

    compiled_grad = jax.jit(jax.grad(loss)).lower(params).compile()
    memory[remat] = compiled_grad.memory_analysis().temp_size_in_bytes
  assert memory["none"] > memory["dots"] > memory["full"], memory

"""torch as judge: same weights, same inputs, same outputs to 1e-5."""

from flax import nnx
import jax
import numpy as np
import pytest
from safetensors.numpy import load_file
from safetensors.numpy import save_file

from behavior_lm.layers.cross import CrossNetwork
from behavior_lm.models.histories.transact import TransAct
from tests.peers import peers_python
from tests.peers import run_peer


def noisy(module: nnx.Module) -> None:
  """Random norms and biases too, which are born as ones and zeros."""
  rng = np.random.default_rng(1)
  params = nnx.state(module, nnx.Param)
  nnx.update(
      module,
      jax.tree.map(
          lambda x: x + 0.2 * rng.normal(size=x.shape).astype("float32"), params
      ),
  )


@pytest.mark.slow
@pytest.mark.parametrize(("fusion", "heads"), [("concat", 1), ("append", 2)])
def test_the_transformer_of_transact_equals_that_of_torch(
    tmp_path, fusion, heads
):
  peers_python()
  encoder = TransAct(
      4, 4, 7, fusion=fusion, num_heads=heads, rngs=nnx.Rngs(0)
  )
  noisy(encoder)
  width = 12 if fusion == "concat" else 8
  rng = np.random.default_rng(0)
  tokens = rng.normal(size=(5, 9, width)).astype(np.float32)
  # torch gives NaN where a row has no token at all.
  there = np.arange(9) < np.array([9, 6, 3, 2, 1])[:, None]
  arrays = {
      "tokens": tokens,
      "there": there.astype(np.int32),
      "num_heads": np.asarray(heads, np.int32),
  }
  for number, layer in enumerate(encoder.layers):
    for name in ("qkv", "out"):
      linear = getattr(layer.attention, name)
      arrays[f"{number}.{name}/kernel"] = np.asarray(linear.kernel[...])
      arrays[f"{number}.{name}/bias"] = np.asarray(linear.bias[...])
    for name in ("mlp_in", "mlp_out"):
      linear = getattr(layer, name)
      arrays[f"{number}.{name}/kernel"] = np.asarray(linear.kernel[...])
      arrays[f"{number}.{name}/bias"] = np.asarray(linear.bias[...])
    for name in ("attention_norm", "mlp_norm"):
      norm = getattr(layer, name)
      arrays[f"{number}.{name}/scale"] = np.asarray(norm.scale[...])
      arrays[f"{number}.{name}/bias"] = np.asarray(norm.bias[...])
  save_file(arrays, tmp_path / "in")
  run_peer("ranker_outputs", "encoder", tmp_path / "in", tmp_path / "out")
  theirs = load_file(tmp_path / "out")["hidden"]
  with jax.default_matmul_precision("float32"):
    ours = np.asarray(encoder.encode(tokens, there))
  np.testing.assert_allclose(ours[there], theirs[there], atol=1e-5)
  assert theirs[there].std() > 0.1


@pytest.mark.slow
def test_crosses_equal_those_of_torch(tmp_path):
  peers_python()
  net = CrossNetwork(6, 3, rngs=nnx.Rngs(0))
  noisy(net)
  x = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
  arrays = {"x": x}
  for number, layer in enumerate(net.layers):
    arrays[f"{number}.kernel"] = np.asarray(layer.kernel[...])
    arrays[f"{number}.bias"] = np.asarray(layer.bias[...])
  save_file(arrays, tmp_path / "in")
  run_peer("ranker_outputs", "cross", tmp_path / "in", tmp_path / "out")
  theirs = load_file(tmp_path / "out")["x"]
  np.testing.assert_allclose(np.asarray(net(x)), theirs, rtol=1e-5, atol=1e-5)

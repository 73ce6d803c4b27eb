import jax
import pytest

from behavior_lm.evaluation.throughput import measure_step
from behavior_lm.evaluation.throughput import step_flops
from configs.pretrain import get_config


def small_config():
  config = get_config("size=tiny,time=none")
  config.data.batch_size = 4
  config.data.max_length = 64
  return config


def test_a_measurement_has_positive_figures_that_fit_together():
  got = measure_step(small_config(), vocab_size=300, repeats=3)
  assert got["tokens_per_second"] * got["step_ms"] == pytest.approx(
      1000 * 4 * 64
  )
  assert got["share"] == pytest.approx(got["step_gflops"] / got["gemm_gflops"])
  assert 0 < got["share"]


def test_counted_operations_agree_with_the_compiler():
  """XLA counts the forward products of the same shapes."""
  config = small_config()
  model, tokens = config.model, 4 * 64
  ours = step_flops(config, vocab_size=300, num_masked=100) / 3
  width, heads = model.embed_dim, model.num_heads

  def products(x, qkv, out, up, down, dense, table):
    for _ in range(model.num_layers):
      q, k, v = jax.numpy.split(x @ qkv, 3, -1)
      shape = (4, 64, heads, width // heads)
      q, k, v = (y.reshape(shape).swapaxes(1, 2) for y in (q, k, v))
      mixed = (q @ k.swapaxes(-1, -2)) @ v
      x = mixed.swapaxes(1, 2).reshape(tokens, width) @ out
      x = x @ up @ down
    return (x[:100] @ dense) @ table

  shapes = [
      (tokens, width),
      (width, 3 * width),
      (width, width),
      (width, model.mlp_dim),
      (model.mlp_dim, width),
      (width, width),
      (width, 300),
  ]
  arguments = [jax.ShapeDtypeStruct(s, "float32") for s in shapes]
  cost = jax.jit(products).lower(*arguments).cost_analysis()
  assert ours == pytest.approx(cost["flops"], rel=0.01)

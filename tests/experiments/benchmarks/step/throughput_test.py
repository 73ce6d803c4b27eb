import jax
import pytest

from configs.pretrain import get_config
from experiments.benchmarks.step.throughput import measure_step
from experiments.benchmarks.step.throughput import step_flops


def small_config():
  config = get_config("size=tiny,time=none")
  config.data.batch_size = 4
  config.data.max_length = 64
  return config


@pytest.mark.slow
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
  ours = step_flops(config, vocab_size=300, num_predicted=100) / 3
  width, heads = model.embed_dim, model.num_heads

  def products(x, query, key_value, out, up, down, dense, table):
    split = lambda x: x.reshape(4, -1, heads, width // heads).swapaxes(1, 2)
    for layer in range(model.num_layers):
      last = layer == model.num_layers - 1
      # Of each row's 64 states the last layer makes the 25 that are masked.
      asking = x.reshape(4, 64, width)[:, : 25 if last else 64]
      k, v = map(split, jax.numpy.split(x @ key_value, 2, -1))
      mixed = (split(asking @ query) @ k.swapaxes(-1, -2)) @ v
      x = mixed.swapaxes(1, 2).reshape(-1, width) @ out
      x = x @ up @ down
    return (x @ dense) @ table

  shapes = [
      (tokens, width),
      (width, width),
      (width, 2 * width),
      (width, width),
      (width, model.mlp_dim),
      (model.mlp_dim, width),
      (width, width),
      (width, 300),
  ]
  arguments = [jax.ShapeDtypeStruct(s, "float32") for s in shapes]
  cost = jax.jit(products).lower(*arguments).cost_analysis()
  assert ours == pytest.approx(cost["flops"], rel=0.01)

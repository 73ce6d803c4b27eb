from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.models.encoders.reformer import Reformer
from behavior_lm.models.encoders.reformer import ReformerConfig

LENGTH = 96


def make(**options):
  values = dict(
      vocab_size=50,
      num_layers=4,
      embed_dim=16,
      num_heads=2,
      mlp_dim=32,
      max_length=LENGTH,
      window_size=8,
      chunk_size=16,
      dropout_rate=0.3,
  )
  return Reformer(ReformerConfig(**values | options), rngs=nnx.Rngs(0))


def row(length=LENGTH):
  rng = np.random.default_rng(0)
  cut = length // 3
  batch = {
      "tokens": rng.integers(5, 50, (1, length)),
      "positions": np.r_[np.arange(cut), np.arange(length - cut)][None],
      "segment_ids": np.where(np.arange(length) < cut, 1, 2)[None],
      "time_gaps": rng.integers(0, 50, (1, length)),
  }
  return {name: jnp.asarray(x, jnp.int32) for name, x in batch.items()}


def train(model, seed=0):
  """Hidden states and gradients of a training step."""
  graph, params = nnx.split(model, nnx.Param)

  @jax.jit
  def run(params):
    out = nnx.merge(graph, params).encode(
        row(), deterministic=False, rngs=nnx.Rngs(dropout=seed)
    )
    return (jnp.cos(jnp.arange(out.size)).reshape(out.shape) * out).sum(), out

  grads, out = jax.grad(run, has_aux=True)(params)
  return grads.to_pure_dict(), out


def assert_near(got, want, share):
  def check(got, want):
    scale = max(1e-3, np.abs(want).max())
    np.testing.assert_allclose(got / scale, want / scale, atol=share)

  jax.tree.map(check, got, want)


@pytest.mark.slow
def test_reversible_layers_learn_what_plain_ones_learn():
  want = train(make(reversible=False))
  assert_near(train(make()), want, 1e-4)
  assert_near(train(make(feed_forward_chunk=20)), want, 1e-4)
  scanned = make(reversible=False, scan_layers=True, remat="full")
  assert_near(train(scanned), want, 1e-4)


@pytest.mark.slow
def test_training_draws_rotations_and_evaluation_does_not():
  model = make(dropout_rate=0.0)
  outs = [train(model, seed)[1] for seed in (0, 0, 1)]
  np.testing.assert_array_equal(outs[0], outs[1])
  assert np.abs(outs[0] - outs[2]).max() > 1e-3
  np.testing.assert_array_equal(model.encode(row()), model.encode(row()))
  with pytest.raises(ValueError, match="draws rotations"):
    model.encode(row(), deterministic=False)


@pytest.mark.slow
def test_a_local_stack_sees_its_window_and_a_hashing_one_more():
  seen = {}
  for kind in ("local", "lsh"):
    model = make(attention_layers=(kind,), num_layers=1)
    batch = row()
    other = dict(batch, tokens=batch["tokens"].at[0, 60].set(7))
    moved = np.abs(model.encode(batch) - model.encode(other))[0].max(-1)
    seen[kind] = np.flatnonzero(moved > 1e-7)
  assert set(seen["local"]) <= set(range(52, 69))
  assert max(abs(seen["lsh"] - 60)) > 8


@pytest.mark.slow
def test_a_causal_model_reads_no_later_token_but_sorts_it():
  batch = row()
  other = dict(batch, tokens=batch["tokens"].at[0, 90].set(7))

  def moved(**options):
    model = make(causal=True, num_layers=1, **options)
    changed = model.encode(batch) - model.encode(other)
    return np.abs(changed)[0, :90].max()

  assert moved(attention_layers=("local",)) == 0
  assert moved(attention_layers=("lsh",), chunk_size=LENGTH) == 0
  # What the module tells: which earlier tokens meet depends on later ones.
  assert moved(attention_layers=("lsh",), chunk_size=4) > 1e-3


@pytest.mark.slow
def test_bfloat16_stays_near_float32():
  want = make().encode(row())
  got = make(dtype="bfloat16").encode(row())
  assert got.dtype == jnp.bfloat16
  error = np.abs(np.asarray(got, np.float32) - want)
  # Some tokens fall into another bucket.
  assert np.median(error) < 0.02 * np.abs(want).max()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (dict(attention_layers=("far",)), "attention_layers"),
        (dict(attention_layers=()), "attention_layers"),
        (dict(norm_position="post"), "set 'pre'"),
        (dict(remat="some"), "remat 'some'"),
        (dict(remat="full"), "set reversible=False"),
        (dict(activation="swish"), "activation"),
        (
            dict(attention_layers=("local",), num_hashes=7),
            "num_hashes 7 means nothing without an 'lsh' layer",
        ),
        (dict(attention_layers=("local",), num_buckets=6), "num_buckets 6"),
        (dict(position_encoding="rotary", num_heads=16), "an even head_dim"),
    ],
)
def test_what_cannot_be_is_an_error(wrong, message):
  with pytest.raises(ValueError, match=message):
    make(**wrong)

"""Attention that reads time, in the models that take it."""

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.encoders.encoder_test import full_rows
from tests.models.encoders.encoder_test import hidden_by_sequence
from tests.models.encoders.encoder_test import make

CASES = pytest.mark.parametrize(
    ("name", "time"),
    [
        ("bert", "rotary"),
        ("longformer", "bucket+rotary"),
        ("longformer", "attention_bias"),
        ("modern", "gate+attention_bias"),
    ],
)


def compiled_with_bias(name, time, **options):
  """encode(batch) of one layer whose bias, if it has one, is not 0."""
  model = make(name, time_encoding=time, num_layers=1, **options)
  rng = np.random.default_rng(0)
  for layer in model.layers:
    if (bias := layer.attention.time_bias) is not None:
      bias.even[...] = 0.3 * rng.normal(size=bias.even.shape)
      bias.odd[...] = 0.3 * rng.normal(size=bias.odd.shape)
  graphdef, state = nnx.split(model)
  run = jax.jit(lambda state, batch: nnx.merge(graphdef, state).encode(batch))
  return lambda batch: np.asarray(run(state, batch))


@pytest.mark.slow
@CASES
def test_packed_and_unpacked_sequences_have_the_same_states(name, time):
  encode = compiled_with_bias(name, time)
  packed = hidden_by_sequence(encode, pack=True)
  alone = hidden_by_sequence(encode, pack=False)
  assert packed.keys() == alone.keys() and len(packed) == 7
  for tokens, hidden in packed.items():
    np.testing.assert_allclose(hidden, alone[tokens], atol=2e-5)


@pytest.mark.slow
@CASES
def test_a_causal_model_reads_past_gaps_and_no_others(name, time):
  encode = compiled_with_bias(name, time, causal=True)
  batch = full_rows()
  gaps = batch["time_gaps"].at[0, 20].set(4_000)
  before, after = encode(batch), encode(dict(batch, time_gaps=gaps))
  np.testing.assert_array_equal(before[0, :20], after[0, :20])
  np.testing.assert_array_equal(before[1], after[1])
  changes = np.abs(before[0, 20:] - after[0, 20:])
  assert np.median(changes.max(-1)) > 1e-6 and changes[0].max() > 1e-6


@pytest.mark.slow
def test_a_control_of_time_reaches_the_attention():
  batch = full_rows()
  gaps = jnp.where(jnp.arange(31) % 4 == 3, -1, batch["time_gaps"])
  batch["time_gaps"] = gaps
  constant = compiled_with_bias("bert", "rotary", time_control="constant")
  zero = dict(batch, time_gaps=jnp.minimum(gaps, 0))
  np.testing.assert_array_equal(constant(batch), constant(zero))
  plain = compiled_with_bias("bert", "rotary")
  np.testing.assert_allclose(constant(batch), plain(zero), atol=1e-6)
  assert not np.allclose(plain(batch), plain(zero), atol=1e-4)


def test_the_reformer_refuses_attention_that_reads_time():
  with pytest.raises(ValueError, match="rotary"):
    make("reformer", time_encoding="rotary")

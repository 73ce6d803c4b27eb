from flax import nnx
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.layers.time_encoding import gap_bucket
from behavior_lm.layers.time_encoding import NUM_BUCKETS
from behavior_lm.layers.time_encoding import sinusoid
from behavior_lm.layers.time_encoding import TIME_CONTROLS
from behavior_lm.layers.time_encoding import TIME_ENCODINGS

DIM = 8


def encoder(name):
  return TIME_ENCODINGS[name](DIM, rngs=nnx.Rngs(0))


def inputs():
  rng = np.random.default_rng(0)
  embeddings = jnp.asarray(rng.normal(size=(2, 3, DIM)), jnp.float32)
  return embeddings, jnp.asarray([[0, 7, 36_000], [-1, 3, -1]])


def test_sinusoid_is_the_usual_bank():
  got = np.asarray(sinusoid(jnp.asarray([0, 12]), DIM))
  np.testing.assert_allclose(got[0], [0] * 4 + [1] * 4)
  for k in range(4):
    angle = 12 / 10_000 ** (2 * k / DIM)
    assert got[1, k] == pytest.approx(np.sin(angle), abs=1e-6)
    assert got[1, 4 + k] == pytest.approx(np.cos(angle), abs=1e-6)


def test_an_odd_width_is_an_error():
  with pytest.raises(ValueError, match="even width"):
    sinusoid(jnp.zeros(2), 7)


def test_mercer_is_a_fourier_series():
  layer = encoder("mercer")
  gap = 1_000_003
  weights = np.arange(1.0, DIM + 1)
  layer.coefficients[...] = jnp.asarray(weights)
  got = layer(jnp.zeros((1, 1, DIM)), jnp.asarray([[gap]]))[0, 0]
  angles = [np.pi * gap / 2**halvings for halvings in (0, 10, 20, 30)]
  want = np.concatenate([np.cos(angles), np.sin(angles)]) * weights
  np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.slow
def test_time2vec_is_a_line_and_sines():
  layer = encoder("time2vec")
  got = layer(jnp.zeros((1, 1, DIM)), jnp.asarray([[7]]))[0, 0]
  t = np.log2(8.0)
  angles = t * np.asarray(layer.frequencies[...]) + layer.phases[...]
  want = np.concatenate([angles[:1], np.sin(angles[1:])]) * layer.scale[...]
  np.testing.assert_allclose(got, want, atol=1e-6)


@pytest.mark.slow
def test_the_other_gates_are_their_formulas():
  embeddings, gaps = inputs()
  bank = np.asarray(sinusoid(gaps, DIM))
  for name in ("gate_scaled", "gate_multiplied", "gate_bucket"):
    layer = encoder(name)
    let = 1 / (1 + np.exp(-(embeddings @ layer.gate.kernel[...])))
    if name == "gate_scaled":
      added = let * bank * layer.scale[...]
    elif name == "gate_multiplied":
      added = let * bank * embeddings
    else:
      added = let * layer.embed.embedding[...][gap_bucket(gaps)]
    want = np.where((gaps < 0)[..., None], embeddings, embeddings + added)
    np.testing.assert_allclose(layer(embeddings, gaps), want, atol=1e-5)


def test_controls_hide_what_was_hidden_and_change_the_rest():
  gaps = jnp.asarray([[-1, 5, 7, -1, 9, 11, 13]])
  constant = TIME_CONTROLS["constant"](gaps)
  np.testing.assert_array_equal(constant, [[-1, 0, 0, -1, 0, 0, 0]])
  other = TIME_CONTROLS["shuffled"](gaps)
  np.testing.assert_array_equal(other < 0, gaps < 0)
  assert not np.array_equal(other, gaps)
  assert set(np.unique(other)) <= {-1, 0, 5, 7, 9, 11, 13}


def test_the_gate_is_its_formula():
  gate, (embeddings, gaps) = encoder("gate"), inputs()
  kernel = np.asarray(gate.gate.kernel[...])
  assert kernel.shape == (DIM, DIM)
  rng = np.random.default_rng(1)
  bias = rng.normal(size=DIM).astype(np.float32)
  gate.gate.bias[...] = jnp.asarray(bias)
  e = np.asarray(embeddings)
  opened = 1 / (1 + np.exp(-(e @ kernel + bias)))
  want = e + opened * np.asarray(sinusoid(gaps, DIM))
  got = np.asarray(gate(embeddings, gaps))
  shown = np.asarray(gaps) >= 0
  np.testing.assert_allclose(got[shown], want[shown], atol=1e-5)


@pytest.mark.parametrize("name", sorted(TIME_ENCODINGS))
def test_a_hidden_gap_adds_nothing(name):
  embeddings, gaps = inputs()
  got = encoder(name)(embeddings, gaps)
  hidden = np.asarray(gaps) < 0
  np.testing.assert_array_equal(
      np.asarray(got)[hidden], np.asarray(embeddings)[hidden]
  )


def test_none_ignores_time_and_the_others_do_not():
  embeddings, gaps = inputs()
  for name in TIME_ENCODINGS:
    layer = encoder(name)
    same = np.array_equal(
        layer(embeddings, gaps), layer(embeddings, gaps * 4 + 4)
    )
    assert same == (name == "none")


def test_buckets_grow_with_the_gap_and_stay_in_the_table():
  gaps = jnp.asarray([-1, 0, 1, 2, 3, 4, 10, 600, 36_000, 2**31 - 1])
  buckets = np.asarray(gap_bucket(gaps))
  assert buckets[0] == 0 and buckets[1] == 1 and buckets[2] == 2
  assert (np.diff(buckets) > 0).all()
  assert buckets[-1] < NUM_BUCKETS


def test_each_power_of_two_begins_a_bucket_and_one_less_ends_another():
  powers = 2 ** np.arange(1, 31)
  at = np.asarray(gap_bucket(jnp.asarray(powers)))
  np.testing.assert_array_equal(at, 2 + 2 * np.arange(1, 31))
  before = np.asarray(gap_bucket(jnp.asarray(powers - 1)))
  assert (before < at).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", sorted(TIME_ENCODINGS.keys() - {"none", "gate_multiplied"})
)
def test_what_is_added_has_the_scale_of_token_embeddings_at_first(name):
  """Whose standard deviation is 0.02."""
  rng = np.random.default_rng(0)
  tokens = jnp.asarray(rng.normal(0, 0.02, (8, 64, 128)), jnp.float32)
  gaps = jnp.asarray(rng.integers(1, 10_000, (8, 64)))
  layer = TIME_ENCODINGS[name](128, rngs=nnx.Rngs(0))
  added = np.asarray(layer(tokens, gaps) - tokens)
  assert 0.012 < np.sqrt((added**2).mean()) < 0.03

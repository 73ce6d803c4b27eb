from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.layers.pooling import POOLINGS

DIM, SEGMENTS = 8, 4
CASES = {
    "mean": {},
    "cls": {},
    "max": {},
    "last": {},
    "last 3": dict(count=3),
    "gaussian": {},
    "gaussian unscaled": dict(scaled=False),
    "gaussian scalar": dict(weight="scalar"),
    "gaussian vector": dict(weight="vector"),
    "query": {},
    "query 2": dict(num_heads=2),
}
every_pooling = pytest.mark.parametrize("case", CASES)


@pytest.fixture(scope="module")
def rows():
  """Segments of 5, 1 and 6 tokens; one of CLS alone; padding; an empty row."""
  sizes = [[6, 2, 1], [7], []]
  segment_ids, positions = np.zeros((2, 3, 12), np.int32)
  for row, of_row in enumerate(sizes):
    at = 0
    for number, size in enumerate(of_row):
      segment_ids[row, at : at + size] = number + 1
      positions[row, at : at + size] = np.arange(size)
      at += size
  hidden = np.random.default_rng(0).normal(size=(3, 12, DIM))
  return hidden.astype(np.float32), segment_ids, positions


def make(case):
  """A pooling, with parameters that are not as they were born."""
  made = POOLINGS[case.split()[0]](DIM, rngs=nnx.Rngs(0), **CASES[case])
  rng = np.random.default_rng(1)
  state = jax.tree.map(
      lambda x: jnp.asarray(rng.normal(size=x.shape), jnp.float32),
      nnx.state(made),
  )
  nnx.update(made, state)
  return made


def softmax(scores):
  e = np.exp(scores - scores.max())
  return e / e.sum()


def one(case, made, cls, tokens):
  """The vector of one segment, as the definitions say."""
  name, options = case.split()[0], CASES[case]
  if not len(tokens):
    return np.zeros(DIM)
  if name == "mean":
    return tokens.mean(0)
  if name == "cls":
    return cls
  if name == "max":
    return tokens.max(0)
  if name == "last":
    return tokens[-options.get("count", 1) :].mean(0)
  if name == "gaussian":
    w = 1.0 if made.weight is None else np.asarray(made.weight[...])
    squares = (((tokens.mean(0) - tokens) * w) ** 2).sum(1) / 2
    scale = 1.0 if options.get("scaled") is False else DIM**-0.5
    return softmax(-squares * scale) @ tokens
  query = np.asarray(made.query[...])
  parts = np.split(tokens, len(query), 1)
  pooled = [
      softmax(x @ q / np.sqrt(len(q))) @ x
      for x, q in zip(parts, query, strict=True)
  ]
  return np.concatenate(pooled)


def oracle(case, made, hidden, segment_ids, positions):
  out = np.zeros((len(hidden), SEGMENTS, DIM))
  for row, segment in np.ndindex(len(hidden), SEGMENTS):
    inside = segment_ids[row] == segment + 1
    if inside.any():
      states = hidden[row][inside]
      assert positions[row][inside][0] == 0
      out[row, segment] = one(case, made, states[0], states[1:])
  return out


def apply(made, hidden, segment_ids, positions):
  graph, state = nnx.split(made)
  run = jax.jit(
      lambda state, hidden: nnx.merge(graph, state)(
          hidden, segment_ids, positions, SEGMENTS
      )
  )
  return run, state


@every_pooling
def test_each_segment_is_pooled_as_if_it_were_alone(case, rows):
  made = make(case)
  run, state = apply(made, *rows)
  got = run(state, rows[0])
  assert got.shape == (3, SEGMENTS, DIM) and got.dtype == jnp.float32
  np.testing.assert_allclose(got, oracle(case, made, *rows), atol=1e-5)


@every_pooling
def test_the_gradient_is_that_of_a_small_step(case, rows):
  made = make(case)
  run, state = apply(made, *rows)
  rng = np.random.default_rng(2)
  cotangent = rng.normal(size=(3, SEGMENTS, DIM)).astype(np.float32)
  value = lambda state, hidden: (run(state, hidden) * cotangent).sum()
  of_state, of_hidden = jax.jit(jax.grad(value, (0, 1)))(state, rows[0])
  assert not np.asarray(of_hidden)[rows[1] == 0].any()
  step = rng.normal(size=rows[0].shape).astype(np.float32)
  want = np.vdot(of_hidden, step)
  far = lambda t: oracle(case, made, rows[0] + t * step, *rows[1:])
  got = ((far(1e-4) - far(-1e-4)) / 2e-4 * cotangent).sum()
  assert got == pytest.approx(want, rel=1e-2, abs=1e-3)
  for leaf in jax.tree.leaves(of_state):
    assert np.asarray(leaf).all()


@pytest.mark.slow
def test_without_a_scale_one_token_of_a_wide_state_takes_all():
  wide = 384
  hidden = np.random.default_rng(0).normal(size=(1, 9, wide))
  ids, positions = np.ones((1, 9), np.int32), np.arange(9)[None]
  largest = {}
  for scaled in (True, False):
    made = POOLINGS["gaussian"](wide, scaled=scaled, rngs=nnx.Rngs(0))
    tokens = jnp.asarray(ids[:, None] * (positions > 0)[:, None] > 0)
    weights = made.weights(jnp.asarray(hidden), tokens, tokens)
    largest[scaled] = float(weights.max())
  assert largest[True] < 0.5 < 0.9 < largest[False]


@pytest.mark.parametrize(
    "name, options, words",
    [
        ("last", dict(count=0), "at least the last token"),
        ("gaussian", dict(weight="matrix"), "none, scalar, vector"),
        ("query", dict(num_heads=3), "not divisible"),
    ],
)
def test_options_that_make_no_sense_are_refused(name, options, words):
  with pytest.raises(ValueError, match=words):
    POOLINGS[name](DIM, rngs=nnx.Rngs(0), **options)

"""Which tokens a masking strategy prefers.

A strategy gives each token a score s and a temperature T. The exact budget
takes the rate * n largest of s / T + Gumbel noise, see
`masking.budgets.choose_masked`. The Bernoulli budget is that of PMTC's paper
(WWW 2022, doi 10.1145/3485447.3512275): each token is chosen on its own with
the probability clip(rate * n * softmax(s / T), 0, 1), so sharp scores lose a
part of the budget to the clip.
"""

from collections.abc import Mapping
import dataclasses

import jax
import jax.numpy as jnp

# What a strategy scores tokens by.
STRATEGIES = ("uniform", "span", "session_span", "idf", "mtc", "pmtc")
# They learn a table of confidence.
BY_CONFIDENCE = ("mtc", "pmtc")
BUDGETS = ("exact", "bernoulli")
_COLDEST = 1e-6


@dataclasses.dataclass(frozen=True)
class Layout:
  """A packed row: where masking may happen.

  Attributes:
    tokens: [batch, length] int32.
    eligible: [batch, length] bool.
    segment_ids: [batch, length] int32, 0 marks padding.
    max_segments: segments in a row at most.
  """

  tokens: jax.Array
  eligible: jax.Array
  segment_ids: jax.Array
  max_segments: int


def span_scores(
    key: jax.Array, breaks: jax.Array, span_length: float
) -> jax.Array:
  """One random number per span, so that spans are masked whole.

  The last span of a budget is masked from its left end as far as the budget
  goes. Lengths of spans are geometric.

  Args:
    key: random key.
    breaks: [batch, length] bool, where a span has to begin.
    span_length: mean number of tokens; infinite: spans begin at `breaks` alone.

  Returns:
    [batch, length] float32.
  """
  length = breaks.shape[1]
  begin_key, score_key = jax.random.split(key)
  begins = jax.random.uniform(begin_key, breaks.shape) < 1 / span_length
  begins = begins.at[:, 0].set(True)
  span = jnp.cumsum(begins | breaks, axis=1) - 1
  drawn = jax.random.uniform(score_key, breaks.shape)
  # Far apart compared with the places in a row, exact in float32.
  order = jnp.argsort(jnp.argsort(drawn, axis=1), axis=1)
  place = jnp.arange(length) / length
  return jnp.take_along_axis(order, span, 1) - place


def idf_scores(layout: Layout, idf: jax.Array) -> jax.Array:
  """idf[x] / tf(x), tf the occurrences of x in its segment.

  Args:
    layout: the row.
    idf: [vocab_size] inverse document frequencies.
  """
  shape = layout.tokens.shape
  places = jnp.broadcast_to(jnp.arange(shape[1]), shape)
  ids, tokens, places = jax.lax.sort(
      (layout.segment_ids, layout.tokens, places), dimension=1, num_keys=2
  )
  new = jnp.ones(shape, bool)
  same = (ids[:, 1:] == ids[:, :-1]) & (tokens[:, 1:] == tokens[:, :-1])
  runs = jnp.cumsum(new.at[:, 1:].set(~same), axis=1) - 1
  count = lambda run: jnp.bincount(run, length=shape[1])[run]
  sorted_tf = jax.vmap(count)(runs)
  put = lambda tf, place: jnp.zeros_like(tf).at[place].set(tf)
  return idf[layout.tokens] / jax.vmap(put)(sorted_tf, places)


def with_noise(
    key: jax.Array, scores: jax.Array, temperature: jax.Array | float
) -> jax.Array:
  """s / T + Gumbel noise, [batch, length].

  The largest score of a row becomes 0 first: then tokens of equal scores keep
  all digits of their noise, however low the temperature is.
  """
  scores = scores - scores.max(axis=1, keepdims=True)
  noise = jax.random.gumbel(key, scores.shape)
  return scores / jnp.maximum(temperature, _COLDEST) + noise


def probabilities(
    layout: Layout,
    scores: jax.Array,
    temperature: jax.Array | float,
    mask_rate: jax.Array | float,
) -> jax.Array:
  """clip(rate * n * softmax(s / T), 0, 1) of each segment [batch, length]."""
  scaled = scores / jnp.maximum(temperature, _COLDEST)

  def row(s: jax.Array, eligible: jax.Array, ids: jax.Array) -> jax.Array:
    ids = jnp.where(eligible, ids, 0)
    segments = layout.max_segments + 1
    total = lambda x: jax.ops.segment_sum(x, ids, num_segments=segments)
    highest = jax.ops.segment_max(s, ids, num_segments=segments)
    powers = jnp.where(eligible, jnp.exp(s - highest[ids]), 0.0)
    size = total(eligible.astype(jnp.float32))
    share = powers / jnp.maximum(total(powers), 1e-30)[ids]
    return jnp.clip(mask_rate * size[ids] * share, 0.0, 1.0)

  return jax.vmap(row)(scaled, layout.eligible, layout.segment_ids)


def confidence_scores(
    tokens: jax.Array, state: Mapping[str, jax.Array]
) -> tuple[jax.Array, jax.Array]:
  """1 - c[x], and the mean of c: the average token confidence."""
  confidence = state["confidence"]
  return 1 - confidence[tokens], confidence.mean()

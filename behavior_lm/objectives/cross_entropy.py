"""Cross entropy over a large vocabulary, a few logits at a time.

Logits stand as [vocab_size, rows]: then all products have untransposed left
operands, see `behavior_lm.common.layout`, and softmax adds whole rows of
memory.
"""

from collections.abc import Callable, Mapping
import functools
from typing import Any

import jax
import jax.numpy as jnp

from behavior_lm.common.layout import transposed

# On CPU, logits that exist at once: they should stay in a cache between the
# passes over them. Elsewhere 1 GB of them.
LOGITS_AT_ONCE = 2**22
LOGITS_AT_ONCE_ELSEWHERE = 2**28

Head = Mapping[str, jax.Array]
Arrays = tuple[jax.Array, ...]


def token_scores(
    head: Head, tokens: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Negative log likelihood and top-1 hit of each true token.

  Args:
    head: the logits as factors, logits = hidden @ table^T + bias: `hidden`
      [batch, n, dim], whose type products have, `table` [vocab_size, dim]
      and `bias` [vocab_size], float32.
    tokens: [batch, n] int32.

  Returns:
    two arrays [batch, n] float32: nats, and 1 where no other token scores
    higher.
  """

  def run(
      hidden: jax.Array,
      tokens: jax.Array,
      table: jax.Array,
      bias: jax.Array,
      *,
      at_once: int,
  ) -> tuple[Arrays, Arrays]:
    def score(sums: Arrays, piece: Arrays) -> tuple[Arrays, Arrays]:
      hidden, tokens = piece
      nll, correct, _, _ = _softmax(hidden, table, bias, tokens.reshape(-1))
      return sums, (nll.reshape(tokens.shape), correct.reshape(tokens.shape))

    return in_pieces(score, at_once // len(table), (), hidden, tokens)

  shared = head["table"].astype(head["hidden"].dtype), head["bias"]
  nll, correct = _by_platform(run, head["hidden"], tokens, *shared)[1]
  return nll, correct


def token_loss(
    head: Head, tokens: jax.Array, weights: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """The weighted sum of all tokens' negative log likelihoods.

  Its gradient is made piece by piece with the value, while a piece's logits
  are there: they are computed once, and never exist all together. A gather
  from whole logits would cost a scatter into as many zeros besides; the
  gradient of the true logits is a gather from the table.

  Args:
    head, tokens: see `token_scores`.
    weights: [batch, n] float32.

  Returns:
    The sum, and what `token_scores` gives, which takes no gradient here.
  """
  shared = head["table"], head["bias"]
  loss, nll, correct = _loss(head["hidden"], *shared, tokens, weights)
  return loss, jax.lax.stop_gradient(nll), correct


@jax.custom_vjp
def _loss(
    hidden: jax.Array,
    table: jax.Array,
    bias: jax.Array,
    tokens: jax.Array,
    weights: jax.Array,
) -> Arrays:
  head = {"hidden": hidden, "table": table, "bias": bias}
  nll, correct = token_scores(head, tokens)
  return (nll * weights).sum(), nll, correct


def _forward(
    hidden: jax.Array,
    table: jax.Array,
    bias: jax.Array,
    tokens: jax.Array,
    weights: jax.Array,
) -> tuple[Arrays, Arrays]:
  def run(
      hidden: jax.Array,
      tokens: jax.Array,
      weights: jax.Array,
      table: jax.Array,
      bias: jax.Array,
      *,
      at_once: int,
  ) -> tuple[Arrays, Arrays]:
    of_table = transposed(table)

    def score(sums: Arrays, piece: Arrays) -> tuple[Arrays, Arrays]:
      hidden, tokens, weights = piece
      nll, correct, powers, total = _softmax(
          hidden, table, bias, tokens.reshape(-1)
      )
      # d loss / d logits = weights * (softmax - one_hot): the softmax here.
      scale = weights.reshape(-1) / total
      rows = hidden.reshape(-1, hidden.shape[-1])
      scaled = (rows * scale[:, None]).astype(hidden.dtype)
      d_table, d_bias = sums
      sums = (
          d_table + _product(powers.astype(hidden.dtype), scaled),
          d_bias + powers @ scale,
      )
      d_rows = _product(of_table, powers.astype(hidden.dtype)) * scale
      # See `behavior_lm.common.layout`: XLA would swap the product otherwise.
      d_rows = jax.lax.optimization_barrier(d_rows).T
      shape = tokens.shape
      outs = d_rows.reshape(hidden.shape), nll.reshape(shape), correct
      return sums, (*outs[:2], correct.reshape(shape))

    zeros = jnp.zeros(table.shape), jnp.zeros(bias.shape)
    fields = hidden, tokens, weights
    return in_pieces(score, at_once // len(table), zeros, *fields)

  narrow = table.astype(hidden.dtype)
  (d_table, d_bias), (d_hidden, nll, correct) = _by_platform(
      run, hidden, tokens, weights, narrow, bias
  )
  # And the one_hot of all pieces.
  slope = weights[..., None]
  d_hidden = d_hidden - slope * narrow[tokens]
  d_table = d_table.at[tokens].add(-slope * hidden.astype(jnp.float32))
  d_bias = d_bias.at[tokens].add(-weights)
  gradients = (
      d_hidden.astype(hidden.dtype),
      d_table.astype(table.dtype),
      d_bias.astype(bias.dtype),
  )
  return ((nll * weights).sum(), nll, correct), (*gradients, nll)


def _backward(kept: Arrays, cotangents: Arrays) -> tuple[Any, ...]:
  *gradients, nll = kept
  slope = cotangents[0]
  scaled = ((slope * x).astype(x.dtype) for x in gradients)
  return (*scaled, None, slope * nll)


_loss.defvjp(_forward, _backward)


def _softmax(
    hidden: jax.Array, table: jax.Array, bias: jax.Array, tokens: jax.Array
) -> Arrays:
  """Nats, hits, exp(logits - highest) [vocab_size, rows] and its sums."""
  rows = hidden.reshape(-1, hidden.shape[-1])
  logits = _product(table, rows.T) + bias[:, None]
  highest = logits.max(0)
  powers = jnp.exp(logits - highest)
  total = powers.sum(0)
  true = jnp.take_along_axis(logits, tokens[None], 0)[0]
  nll = jnp.log(total) + highest - true
  return nll, (true >= highest).astype(jnp.float32), powers, total


def _product(left: jax.Array, right: jax.Array) -> jax.Array:
  return jnp.matmul(left, right, preferred_element_type=jnp.float32)


def _by_platform(
    run: Callable[..., tuple[Arrays, Arrays]], *operands: jax.Array
) -> tuple[Arrays, Arrays]:
  """`run` with as many logits at once as suit the device."""
  return jax.lax.platform_dependent(
      *operands,
      cpu=functools.partial(run, at_once=LOGITS_AT_ONCE),
      default=functools.partial(run, at_once=LOGITS_AT_ONCE_ELSEWHERE),
  )


def in_pieces(
    run: Callable[[Any, Arrays], tuple[Any, Arrays]],
    most: int,
    sums: Any,
    *fields: jax.Array,
) -> tuple[Any, Arrays]:
  """Goes over [batch, n, ...] by pieces of n.

  Not by pieces of the batch, which may be divided among devices.

  Args:
    run: (sums, slices of the fields) -> (sums, results [batch, size, ...]).
    most: rows of a piece, batch times size; at least one of n is taken.
    sums: what goes from piece to piece.
    *fields: [batch, n, ...], filled up with zeros where pieces do not divide n.

  Returns:
    The sums, and the results [batch, n, ...].
  """
  batch, number = fields[0].shape[:2]
  pieces = -(-number // max(1, most // batch))
  if pieces <= 1:
    return run(sums, fields)
  size = -(-number // pieces)
  filling = pieces * size - number

  def cut(x: jax.Array) -> jax.Array:
    x = jnp.pad(x, ((0, 0), (0, filling), *((0, 0),) * (x.ndim - 2)))
    return x.reshape(batch, pieces, size, *x.shape[2:]).swapaxes(0, 1)

  def join(x: jax.Array) -> jax.Array:
    x = x.swapaxes(0, 1)
    return x.reshape(batch, pieces * size, *x.shape[3:])[:, :number]

  sums, results = jax.lax.scan(run, sums, tuple(map(cut, fields)))
  return sums, tuple(map(join, results))

"""Layouts that XLA's matrix products want on CPU.

Products of a transposed left operand, [k, m]^T @ [k, n], leave XLA's fast path
there: 1.5 to 3 times slower in batches of small float32 products, 10 times in
bfloat16, which is then computed in float32. A transposed copy costs less; of
the large float32 products of weight gradients it costs as much. XLA folds a
plain transpose into the product; a layout that is asked for stays.
"""

import jax
from jax.experimental.layout import Layout
from jax.experimental.layout import with_layout_constraint


def transposed(x: jax.Array) -> jax.Array:
  """[..., m, n] -> [..., n, m]; on CPU a copy, one row after the other."""
  return jax.lax.platform_dependent(
      x, cpu=_transposed_copy, default=lambda x: x.swapaxes(-1, -2)
  )


def _transposed_copy(x: jax.Array) -> jax.Array:
  layout = Layout(major_to_minor=tuple(range(x.ndim)))
  return with_layout_constraint(x.swapaxes(-1, -2), layout)

"""History tokens: all that later events may know of the time before them.

HT-Transformer (arXiv 2508.01474): in some windows one token stands for the
past. It attends to all events before it; those behind it attend to it and to
each other. So its state has to hold what the past tells of the future, and is
the vector of a history. Here it takes the place of an event, where the paper
inserts it, so that rows keep their length; one stands in a window at most.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from behavior_lm.common.rows import reduce_segments
from behavior_lm.objectives.objective import Batch


def place_history_tokens(
    batch: Batch,
    chance: jax.Array,
    share: jax.Array,
    *,
    rate: float,
    token: int,
    hidden: Sequence[tuple[str, float]],
) -> dict[str, jax.Array]:
  """Puts a history token into some windows of packed rows.

  Args:
    batch: `tokens`, `segment_ids`, `positions` and the hidden fields, [batch,
      length].
    chance: [batch, max_segments] in [0, 1); a window below `rate` gets one, if
      it has two events behind CLS.
    share: [batch, max_segments] in [0, 1): where in the window it stands,
      behind the first event and before the last one at the earliest and the
      latest.
    rate: share of the windows.
    token: its id.
    hidden: (name, value) of each field that it has no value of.

  Returns:
    The batch with these tokens, and `since`, [batch, length] int32: no token
    attends to a position before it.
  """
  ids, positions = batch["segment_ids"], batch["positions"]
  number = chance.shape[1]
  last = reduce_segments(jax.ops.segment_max, positions, ids, number)[:, 1:]
  # CLS is at 0; the last event is predicted from the token at the latest.
  places = 1 + (share * (last - 1)).astype(jnp.int32)
  places = jnp.where((chance < rate) & (last >= 2), places, 0)
  place = jnp.take_along_axis(jnp.pad(places, ((0, 0), (1, 0))), ids, 1)
  is_history = (positions == place) & (place > 0)
  out = dict(batch)
  for name, value in (("tokens", token), *hidden):
    if name in out:
      out[name] = jnp.where(is_history, value, out[name]).astype(
          out[name].dtype
      )
  behind = (positions > place) & (place > 0)
  out["since"] = jnp.where(behind, place, 0)
  return out

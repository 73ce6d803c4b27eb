"""Future events: which events happen in the next minutes, hours or days?"""

from collections.abc import Mapping
import dataclasses
from typing import Any, NamedTuple

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.common.rows import put_rows
from behavior_lm.common.rows import take_rows
from behavior_lm.objectives.cross_entropy import token_loss
from behavior_lm.objectives.objective import Batch
from behavior_lm.objectives.objective import Metrics
from behavior_lm.objectives.objective import padding_share
from behavior_lm.objectives.objective import Requires

NAME = "future_events"
# Units of a time gap in a second, see `data.time_gaps`.
UNITS_PER_SECOND = 10
# Sums of two spans stay within int32.
_LONGEST = 2**30 - 2


class Futures(NamedTuple):
  """What follows each event of a packed batch; all arrays [batch, length].

  Attributes:
    is_event: bool, false at special tokens (but UNK) and padding.
    reach: int32, the row offset of the last token within the horizon.
    number: int32, events behind a token up to its reach; 0 at other tokens
      than events.
    is_cut: bool, the events whose horizon may go on behind their window.
  """

  is_event: jax.Array
  reach: jax.Array
  number: jax.Array
  is_cut: jax.Array


@dataclasses.dataclass(frozen=True)
class FutureEvents:
  """Predict the events of a horizon from the past (a causal model).

  The dense all-action loss of PinnerFormer (Pancha et al., KDD 2022, arXiv
  2205.04507): from random positions of a history, a random event of the next K
  days each. In the mean that is the cross entropy between the
  model's distribution and that of the horizon's events, position by position.
  Here the softmax is over the whole vocabulary, so no sampling probability has
  to be subtracted from the logits, and the logits come from a head of the
  model's own for this objective, since what happens next and what happens soon
  are two distributions.

  The future of an event is what its window shows. An event whose horizon goes
  on behind the window's end takes the events that are there, unless
  `cut_horizons` is False; one with no event in its horizon is left out. Special
  tokens are neither asked nor answers, except UNK, an event that happened; a
  token of several events happens when its last one does.

  Attributes:
    num_special, unk_id: of the tokenizer.
    horizon: seconds; an event that is exactly so far away belongs to it.
    position_share: positions that are asked, as a share of a row's length.
    cut_horizons: whether events whose horizon is cut off are asked.
  """

  num_special: int
  unk_id: int
  horizon: float = 600.0
  position_share: float = 0.25
  cut_horizons: bool = True

  def __post_init__(self) -> None:
    if not 1 <= self.horizon * UNITS_PER_SECOND <= _LONGEST:
      raise ValueError(
          f"horizon is {self.horizon} seconds; give 0.1 to"
          f" {_LONGEST // UNITS_PER_SECOND:,}"
      )
    if not 0 < self.position_share <= 1:
      share = self.position_share
      raise ValueError(f"position_share is {share}; give it in (0, 1]")

  @property
  def requires(self) -> Requires:
    return Requires(
        ("tokens", "segment_ids", "time_gaps"), predicts_future=True
    )

  def init_state(self) -> dict[str, jax.Array]:
    """Nothing is kept from step to step."""
    return {}

  def loss(
      self, model: Any, batch: Batch, state: Any, key: jax.Array
  ) -> tuple[jax.Array, Metrics, Any]:
    """Mean cross entropy of the horizon's events, in nats per position.

    In the mean over draws it is that of all positions of the batch, whatever
    rows they are in. The metrics are `loss`, `positions` (how many could be
    asked), `no_future` (the share of events with no event in their horizon,
    left out), `cut` (of events whose horizon is cut off) and `padding_share`.
    """
    draw_key, dropout_key = jax.random.split(key)
    futures = self.futures(batch)
    can_be_asked = self.asked(futures)
    at, tokens, weights = draw_pairs(
        draw_key,
        batch["tokens"],
        futures,
        can_be_asked,
        max(1, round(self.position_share * batch["tokens"].shape[1])),
    )
    head = future_head(
        model,
        batch,
        at,
        deterministic=False,
        rngs=nnx.Rngs(dropout=dropout_key),
    )
    positions = can_be_asked.sum().astype(jnp.float32)
    loss, _, _ = token_loss(head, tokens, weights / jnp.maximum(positions, 1))
    events = jnp.maximum(futures.is_event.sum(), 1)
    metrics = {
        "loss": loss,
        "positions": positions,
        "no_future": (futures.is_event & (futures.number == 0)).sum() / events,
        "cut": futures.is_cut.sum() / events,
        "padding_share": padding_share(batch),
    }
    return loss, metrics, state

  def futures(self, batch: Batch) -> Futures:
    """What follows each event; see `Futures`.

    Args:
      batch: `tokens`, `segment_ids` and `time_gaps` (the time since the
        previous token, in 100 ms; -1 is 0), [batch, length] int32.
    """
    tokens, segment_ids = batch["tokens"], batch["segment_ids"]
    is_event = (tokens >= self.num_special) | (tokens == self.unk_id)
    is_event &= segment_ids > 0
    reach = find_reach(
        segment_ids,
        batch["time_gaps"],
        round(self.horizon * UNITS_PER_SECOND),
    )
    seen = jnp.cumsum(is_event, 1)
    number = jnp.take_along_axis(seen, reach, 1) - seen
    ends = jnp.diff(segment_ids, axis=1, append=-1) != 0
    return Futures(
        is_event=is_event,
        reach=reach,
        number=jnp.where(is_event, number, 0),
        is_cut=is_event & jnp.take_along_axis(ends, reach, 1),
    )

  def asked(self, futures: Futures) -> jax.Array:
    """[batch, length] bool, the events that can be asked for their future."""
    found = futures.number > 0
    return found if self.cut_horizons else found & ~futures.is_cut


def find_reach(
    segment_ids: jax.Array, time_gaps: jax.Array, horizon: int
) -> jax.Array:
  """The last token of each token's segment that is not beyond the horizon.

  Steps of 1, 2, 4, ... tokens are added up once, none further than just beyond
  the horizon, so that years do not overflow; then each token takes the largest
  steps that its horizon has room for: O(length log length).

  Args:
    segment_ids: [batch, length] int32; padding reaches over padding.
    time_gaps: [batch, length] int32, time since the previous token of the
      segment; -1 is 0.
    horizon: in the unit of the gaps, 1 to 2**30 - 2.

  Returns:
    [batch, length] int32 row offsets, at least the token's own.
  """
  length = segment_ids.shape[1]
  far = horizon + 1
  ahead = lambda x, n: jnp.pad(x[:, n:], ((0, 0), (0, n)), constant_values=far)
  same = jnp.diff(segment_ids, axis=1) == 0
  step = jnp.where(same, jnp.clip(time_gaps[:, 1:], 0, far), far)
  spans = [jnp.pad(step, ((0, 0), (0, 1)), constant_values=far)]
  while 2 ** len(spans) < length:
    half = spans[-1]
    both = half + ahead(half, 2 ** (len(spans) - 1))
    spans.append(jnp.minimum(both, far))
  reach = jnp.broadcast_to(jnp.arange(length), segment_ids.shape)
  left = jnp.full(segment_ids.shape, horizon)
  for power, span in reversed(list(enumerate(spans))):
    taken = jnp.take_along_axis(span, reach, 1)
    goes = taken <= left
    left = jnp.where(goes, left - taken, left)
    reach = jnp.where(goes, reach + 2**power, reach)
  return reach


def draw_pairs(
    key: jax.Array,
    tokens: jax.Array,
    futures: Futures,
    can_be_asked: jax.Array,
    most: int,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Random positions of each row, and a random event of each one's horizon.

  Args:
    key: random.
    tokens: [batch, length] int32.
    futures: of the batch.
    can_be_asked: [batch, length] bool, where `futures.number` is above 0.
    most: positions of a row at most, drawn without replacement.

  Returns:
    Offsets [batch, n] int32, ascending, n at most `most`; the drawn tokens
    [batch, n]; and weights [batch, n] float32, 0 where a row has fewer
    positions. The weights of a row add up to its positions, drawn or not.
  """
  place_key, event_key = jax.random.split(key)
  length = tokens.shape[1]
  most = min(most, length)
  noise = jax.random.uniform(place_key, tokens.shape)
  noise, at = jax.lax.top_k(jnp.where(can_be_asked, noise, -1.0), most)
  at = jnp.sort(jnp.where(noise >= 0, at, length), axis=1)
  is_drawn = at < length
  at = jnp.where(is_drawn, at, 0)
  of_row = can_be_asked.sum(1, keepdims=True)
  weights = is_drawn * (of_row / jnp.maximum(is_drawn.sum(1, keepdims=True), 1))
  # The events of a row one after the other: those of a horizon are neighbours.
  rank = jnp.cumsum(futures.is_event, 1) - 1
  events = put_rows(
      jnp.zeros_like(tokens),
      jnp.where(futures.is_event, rank, length),
      tokens,
  )
  number = take_rows(futures.number, at)
  drawn = jax.random.uniform(event_key, at.shape) * number
  drawn = jnp.minimum(drawn.astype(jnp.int32), jnp.maximum(number - 1, 0))
  following = take_rows(rank, at) + 1 + drawn
  return at, take_rows(events, following), weights.astype(jnp.float32)


def future_head(
    model: Any, batch: Batch, offsets: jax.Array, **options: Any
) -> Mapping[str, jax.Array]:
  """The logits of future events as factors, see `layers.heads.TokenHead`.

  Args:
    model: has the head `token_heads[NAME]`.
    batch: what the encoder reads.
    offsets: [batch, n] row offsets.
    **options: of `Encoder.encode`.
  """
  hidden = model.encoder.encode(batch, offsets, **options)
  head: Mapping[str, jax.Array] = model.token_heads[NAME](
      hidden, model.encoder.embed.token
  )
  return head

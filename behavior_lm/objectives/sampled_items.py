"""Next items against sampled negatives: softmax, BCE and gBCE."""

from collections.abc import Callable
import dataclasses
from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np

from behavior_lm.objectives.cross_entropy import in_pieces
from behavior_lm.objectives.next_events import next_tokens
from behavior_lm.objectives.objective import Batch
from behavior_lm.objectives.objective import Metrics
from behavior_lm.objectives.objective import padding_share
from behavior_lm.objectives.objective import Requires

SOURCES = ("uniform", "popularity", "batch")
CORRECTIONS = ("negatives", "classic", "none")
# Scores that exist at once.
_AT_ONCE = 2**24
_NEVER = -1e9


@dataclasses.dataclass(frozen=True, eq=False)
class Negatives:
  """How candidates are drawn.

  Attributes:
    counts: [num_items] occurrences in training.
    num_special: tokens below are no items; item i has the token num_special +
      i.
    num_negatives: drawn for each position, or once for the batch; 0 takes the
      labels of all positions, with source "batch".
    shared: all positions have the same negatives.
    source: "uniform"; "popularity", by occurrences in training; or "batch",
      labels of other positions of the batch, which follow popularity too.
  """

  counts: np.ndarray
  num_special: int
  num_negatives: int = 256
  shared: bool = False
  source: str = "uniform"

  def __post_init__(self) -> None:
    if self.source not in SOURCES:
      raise ValueError(f"source {self.source!r}; known are {SOURCES}")
    in_batch = self.source == "batch"
    if in_batch and not self.shared:
      raise ValueError("negatives of the batch are shared: set shared=True")
    if self.num_negatives < (0 if in_batch else 1):
      raise ValueError(f"num_negatives is {self.num_negatives}; draw some")

  @property
  def requires(self) -> Requires:
    return Requires(("tokens", "segment_ids"), predicts_future=True)

  def init_state(self) -> dict[str, jax.Array]:
    """Nothing is kept from step to step."""
    return {}

  @property
  def log_q(self) -> np.ndarray:
    """[num_items] float32 log probability that a draw is the item."""
    counts = np.maximum(self.counts.astype(np.float64), 1e-9)
    if self.source == "uniform":
      counts = np.ones_like(counts)
    return np.log(counts / counts.sum()).astype(np.float32)

  def draw(
      self, key: jax.Array, targets: jax.Array, weights: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Negatives of the positions.

    Args:
      key: random.
      targets: [batch, length] item of each position, 0 where there is none.
      weights: [batch, length], 0 where there is no target.

    Returns:
      Items [n] or [batch, length, n] int32, -1 for a place without one; and
      the log of their number for a position.
    """
    count = self.num_negatives
    shape = (count,) if self.shared else (*targets.shape, count)
    if self.source == "batch":
      labels = jnp.where(weights > 0, targets, -1).reshape(-1)
      if count:
        # Without replacement: the highest of independent noise.
        noise = jax.random.uniform(key, labels.shape)
        noise = jnp.where(labels < 0, -1.0, noise)
        labels = labels[jax.lax.top_k(noise, min(count, len(labels)))[1]]
      items, number = labels, jnp.maximum((labels >= 0).sum(), 1)
    elif self.source == "uniform":
      items = jax.random.randint(key, shape, 0, len(self.counts))
      number = jnp.asarray(count)
    else:
      # The inverse of the distribution, not a Gumbel for every item.
      total = np.cumsum(self.counts.astype(np.float64))
      edges = jnp.asarray(total / total[-1], jnp.float32)
      found = jnp.searchsorted(edges, jax.random.uniform(key, shape), "right")
      items = jnp.minimum(found, len(self.counts) - 1)
      number = jnp.asarray(count)
    return items.astype(jnp.int32), jnp.log(number.astype(jnp.float32))

  def mean_loss(
      self,
      model: Any,
      batch: Batch,
      key: jax.Array,
      position_loss: Callable[..., jax.Array],
  ) -> tuple[jax.Array, Metrics]:
    """The mean of a loss over all positions that have a target.

    Args:
      model, batch, key: see `Objective.loss`.
      position_loss: (positive scores [...], negative scores [..., n], their log
        q, the positives' log q, log n) -> [...]. The score of a candidate that
        is the positive itself, or none, is -1e9.
    """
    draw_key, dropout_key = jax.random.split(key)
    tokens, weights = next_tokens(batch, self.num_special, unk_id=-1)
    targets = jnp.maximum(tokens - self.num_special, 0)
    items, log_number = self.draw(draw_key, targets, weights)
    head = model(
        batch, deterministic=False, rngs=nnx.Rngs(dropout=dropout_key)
    )
    table = head["table"][self.num_special :].astype(head["hidden"].dtype)
    shared = table[items].T if self.shared else None
    log_q = jnp.asarray(self.log_q)

    @jax.checkpoint
    def piece(sums: Any, slices: Any) -> tuple[Any, tuple[jax.Array, ...]]:
      hidden, targets, weights, *own = slices
      found = items if self.shared else own[0]
      positive = _dot("bld,bld->bl", hidden, table[targets])
      if shared is not None:
        scores = _dot("bld,dn->bln", hidden, shared)
      else:
        scores = _dot("bld,blnd->bln", hidden, table[found])
      same = found == targets[..., None]
      scores = jnp.where(same | (found < 0), _NEVER, scores)
      losses = position_loss(
          positive, scores, log_q[found], log_q[targets], log_number
      )
      best = positive > scores.max(-1)
      kept = weights > 0
      sums = jax.tree.map(
          jnp.add,
          sums,
          {
              "loss": jnp.where(kept, losses, 0.0).sum(),
              "wins": (best & kept).sum().astype(jnp.float32),
              "collisions": (same.mean(-1) * weights).sum(),
          },
      )
      return sums, ()

    own = () if self.shared else (items,)
    width = items.shape[-1] * (1 if self.shared else table.shape[1])
    zeros = {name: jnp.zeros(()) for name in ("loss", "wins", "collisions")}
    sums, _ = in_pieces(
        piece, _AT_ONCE // width, zeros, head["hidden"], targets, weights, *own
    )
    total = jnp.maximum(weights.sum(), 1.0)
    means = {name: value / total for name, value in sums.items()}
    metrics = {
        "loss": means["loss"],
        "accuracy_sampled": means["wins"],
        "collisions": means["collisions"],
        "padding_share": padding_share(batch),
    }
    return means["loss"], metrics


@dataclasses.dataclass(frozen=True, eq=False)
class SampledSoftmax(Negatives):
  """Softmax over the positive and sampled negatives (arXiv 1412.2007).

  Attributes:
    correction: "negatives" subtracts log(n q) from the negatives, so that
      their sum estimates that of all other items; "classic" subtracts it from
      the positive too; "none" from nothing.
  """

  correction: str = "negatives"

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.correction not in CORRECTIONS:
      raise ValueError(
          f"correction {self.correction!r}; known are {CORRECTIONS}"
      )

  def loss(
      self, model: Any, batch: Batch, state: Any, key: jax.Array
  ) -> tuple[jax.Array, Metrics, Any]:
    """Mean cross entropy over all positions with a next item, in nats."""

    def position_loss(
        positive: jax.Array,
        scores: jax.Array,
        log_q: jax.Array,
        positive_log_q: jax.Array,
        log_number: jax.Array,
    ) -> jax.Array:
      if self.correction != "none":
        scores = scores - log_q - log_number
      if self.correction == "classic":
        positive = positive - positive_log_q - log_number
      both = jnp.concatenate([positive[..., None], scores], -1)
      return jax.nn.logsumexp(both, -1) - positive

    return *self.mean_loss(model, batch, key, position_loss), state


@dataclasses.dataclass(frozen=True, eq=False)
class BinaryCrossEntropy(Negatives):
  """SASRec's loss (arXiv 1808.09781), and gSASRec's (arXiv 2308.07192).

  -beta log sigmoid(positive) - sum log(1 - sigmoid(negative)), with alpha the
  share of the other items that is drawn and beta = alpha (t (1 - 1 / alpha) +
  1 / alpha).

  Attributes:
    calibration: t; 0 is plain binary cross entropy (beta 1), gSASRec's is .75.
  """

  calibration: float = 0.0

  def __post_init__(self) -> None:
    super().__post_init__()
    if not 0 <= self.calibration <= 1:
      raise ValueError(f"calibration is {self.calibration}; give it in [0, 1]")

  @property
  def beta(self) -> float:
    alpha = min(1.0, self.num_negatives / max(len(self.counts) - 1, 1))
    return alpha * (self.calibration * (1 - 1 / alpha) + 1 / alpha)

  def loss(
      self, model: Any, batch: Batch, state: Any, key: jax.Array
  ) -> tuple[jax.Array, Metrics, Any]:
    """Mean over all positions with a next item, divided by 1 + n."""
    if not self.num_negatives:
      raise ValueError("binary cross entropy needs num_negatives")

    def position_loss(
        positive: jax.Array, scores: jax.Array, *unused: jax.Array
    ) -> jax.Array:
      del unused
      losses = -self.beta * jax.nn.log_sigmoid(positive)
      losses -= jax.nn.log_sigmoid(-scores).sum(-1)
      return losses / (1 + self.num_negatives)

    return *self.mean_loss(model, batch, key, position_loss), state


def _dot(names: str, left: jax.Array, right: jax.Array) -> jax.Array:
  return jnp.einsum(names, left, right, preferred_element_type=jnp.float32)

"""Masked events: BERT's objective over tokens and their time gaps."""

from collections.abc import Mapping
import dataclasses
from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.common.rows import put_rows
from behavior_lm.objectives.cross_entropy import token_loss
from behavior_lm.objectives.masking import choose_masked
from behavior_lm.objectives.objective import Batch
from behavior_lm.objectives.objective import Metrics
from behavior_lm.objectives.objective import Requires

STRATEGIES = ("uniform", "mtc")
State = dict[str, jax.Array]
# The temperature of `mtc` before anything is known; far above the rounding of
# float32 scores.
_COLDEST = 0.01


@dataclasses.dataclass(frozen=True)
class MaskedEvents:
  """Predict chosen tokens from all others, on the device.

  A token is masked whole: its gap and its features go with it, or the duration
  would give the event away. A random token brings those of a random place of
  its row along.

  Attributes:
    vocab_size, num_special, mask_id, unk_id: of the tokenizer; of the ids
      below `num_special` only `unk_id` (an event that happened, unreadable) is
      masked, and none is drawn.
    max_segments: segments in a row at most.
    hidden: (name, value) of each further field that is hidden under a mask.
    mask_rate: share of each sequence's events; a fraction of an event is
      masked with that probability, so short sequences train in expectation.
    strategy: "uniform"; or "mtc", masking by token confidence (PMTC, WWW 2022,
      doi 10.1145/3485447.3512275): tokens that the model knows less are masked
      more, with the mean confidence as temperature.
    mask_share, random_share: of the chosen, so many become [MASK] and so many
      a random token; the rest stays as it is. BERT (arXiv 1810.04805), section
      3.1: 80 %, 10 %, 10 %.
  """

  vocab_size: int
  num_special: int
  mask_id: int
  unk_id: int
  max_segments: int
  hidden: tuple[tuple[str, float], ...] = ()
  mask_rate: float = 0.15
  strategy: str = "uniform"
  mask_share: float = 0.8
  random_share: float = 0.1

  def __post_init__(self) -> None:
    if self.strategy not in STRATEGIES:
      raise ValueError(
          f"masking strategy {self.strategy!r}; known are {STRATEGIES}"
      )
    if not 0.0 < self.mask_rate < 1.0:
      raise ValueError(f"mask_rate is {self.mask_rate}; give it in (0, 1)")
    shares = (self.mask_share, self.random_share)
    if min(shares) < 0 or sum(shares) > 1:
      raise ValueError(
          f"mask_share {shares[0]} and random_share {shares[1]} must be at"
          " least 0, and 1 together at most"
      )

  @property
  def requires(self) -> Requires:
    names = (name for name, _ in self.hidden)
    return Requires(("tokens", "segment_ids", *names), hides_events=True)

  def init_state(self) -> State:
    """`confidence` [vocab_size] of "mtc": how well each token is predicted."""
    if self.strategy == "uniform":
      return {}
    return {"confidence": jnp.zeros((self.vocab_size,))}

  def loss(
      self, model: Any, batch: Batch, state: State, key: jax.Array
  ) -> tuple[jax.Array, Metrics, State]:
    """Mean cross entropy over masked events, in nats.

    Args:
      model: gives the factors of the logits at offsets, see
        `models.language_model`.
      batch: the fields that `requires` and the model name.
      state: of the objective.
      key: of this step.

    Returns:
      The loss, metrics (`loss`, `accuracy`, the realised `mask_rate`,
      `padding_share`), the new state.
    """
    corrupt_key, dropout_key = jax.random.split(key)
    inputs, targets = self.corrupt(batch, corrupt_key, state)
    head = model(
        inputs,
        targets["at"],
        deterministic=False,
        rngs=nnx.Rngs(dropout=dropout_key),
    )
    weights = targets["weights"]
    total = jnp.maximum(weights.sum(), 1.0)
    loss, nll, correct = token_loss(
        head, targets["tokens"], weights / total
    )
    metrics = {
        "loss": loss,
        "accuracy": (correct * weights).sum() / total,
        "mask_rate": weights.sum() / jnp.maximum(targets["num_eligible"], 1),
        "padding_share": (batch["segment_ids"] == 0).mean(),
    }
    return loss, metrics, self._update(state, targets, nll)

  def corrupt(
      self, batch: Batch, key: jax.Array, state: State
  ) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    """Masks a packed batch.

    Args:
      batch: `tokens`, `segment_ids` and the hidden fields, [batch, length].
      key: random key of this step.
      state: objective state.

    Returns:
      inputs: the batch with corrupted `tokens` and `time_gaps`;
      targets: `at` [batch, n] row offsets, `tokens` [batch, n] the truth,
      `weights` [batch, n] float32 (0 = no target).
    """
    tokens, segment_ids = batch["tokens"], batch["segment_ids"]
    choice_key, role_key, token_key, gap_key = jax.random.split(key, 4)
    is_event = (tokens >= self.num_special) | (tokens == self.unk_id)
    eligible = is_event & (segment_ids > 0)
    at, valid = choose_masked(
        self._scores(choice_key, tokens, state),
        eligible,
        segment_ids,
        # Folded in, not split off: the other draws stay as they were.
        jax.random.uniform(jax.random.fold_in(key, 4), tokens.shape[:1]),
        mask_rate=self.mask_rate,
        max_segments=self.max_segments,
    )
    truth = jnp.take_along_axis(tokens, at, 1)
    role = jax.random.uniform(role_key, at.shape)
    is_mask = role < self.mask_share
    is_random = ~is_mask & (role < self.mask_share + self.random_share)
    drawn = jax.random.randint(
        token_key, at.shape, self.num_special, self.vocab_size
    )
    elsewhere = jax.random.randint(gap_key, at.shape, 0, tokens.shape[1])
    new_tokens = jnp.where(
        is_mask, self.mask_id, jnp.where(is_random, drawn, truth)
    )
    inputs = dict(batch)
    inputs["tokens"] = _write(tokens, at, new_tokens, valid)
    for name, value in self.hidden:
      field = batch[name]
      drawn = jnp.take_along_axis(field, elsewhere, 1)
      kept = jnp.take_along_axis(field, at, 1)
      kept = jnp.where(is_random, drawn, kept)
      kept = jnp.where(is_mask, jnp.asarray(value, field.dtype), kept)
      inputs[name] = _write(field, at, kept, valid)
    targets = {
        "at": at,
        "tokens": truth,
        "weights": valid.astype(jnp.float32),
        "num_eligible": eligible.sum(),
    }
    return inputs, targets

  def _scores(
      self, key: jax.Array, tokens: jax.Array, state: State
  ) -> jax.Array:
    """[batch, length]; the highest of each segment are masked."""
    if self.strategy == "uniform":
      return jax.random.uniform(key, tokens.shape)
    confidence = state["confidence"]
    temperature = jnp.maximum(confidence.mean(), _COLDEST)
    noise = jax.random.gumbel(key, tokens.shape)
    return (1 - confidence[tokens]) / temperature + noise

  def _update(
      self, state: State, targets: Mapping[str, jax.Array], nll: jax.Array
  ) -> State:
    """c[v] <- (c[v] + mean probability of v where v was masked) / 2."""
    if not state:
      return state
    add = lambda x: jnp.zeros((self.vocab_size,)).at[targets["tokens"]].add(x)
    count = add(targets["weights"])
    found = add(targets["weights"] * jnp.exp(-nll)) / jnp.maximum(count, 1)
    old = state["confidence"]
    return {"confidence": jnp.where(count > 0, (found + old) / 2, old)}


def _write(
    row: jax.Array, at: jax.Array, values: jax.Array, valid: jax.Array
) -> jax.Array:
  """[batch, length] with values at offsets; offsets not valid fall outside."""
  return put_rows(row, jnp.where(valid, at, row.shape[1]), values)

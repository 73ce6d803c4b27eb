"""Masked events: BERT's objective over tokens and their time gaps."""

from collections.abc import Mapping
import dataclasses
import math
from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.common.rows import put_rows
from behavior_lm.objectives.cross_entropy import token_loss
from behavior_lm.objectives.masking import budgets
from behavior_lm.objectives.masking import strategies
from behavior_lm.objectives.objective import Batch
from behavior_lm.objectives.objective import Metrics
from behavior_lm.objectives.objective import padding_share
from behavior_lm.objectives.objective import Requires

State = dict[str, jax.Array]


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
    mask_rate_end: the rate at the end, which is approached linearly; 0 keeps
      `mask_rate`.
    strategy: "uniform"; "span", stretches of tokens; "session_span", sessions
      from their first event on; or by scores (PMTC, WWW 2022, doi
      10.1145/3485447.3512275): "idf", rare tokens more; "mtc", tokens that the
      model knows less more; "pmtc", `mtc` in some batches and uniform in the
      others.
    span_length: mean tokens of a span.
    temperature: of the scores; 0 is 3 for "idf", and the mean confidence for
      the others.
    mtc_share: share of the batches of "pmtc" that use `mtc`.
    mtc_share_end: that share at the end, which is approached linearly; negative
      keeps `mtc_share`. The paper has 0.1, or 0 to 1.
    budget: "exact", or "bernoulli", the independent draws of the paper, which
      lose a part of the budget; see `objectives.masking.strategies`.
    idf: [vocab_size] inverse document frequencies, for "idf".
    total_steps: of the run, for what changes linearly.
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
  mask_rate_end: float = 0.0
  strategy: str = "uniform"
  span_length: float = 3.0
  temperature: float = 0.0
  mtc_share: float = 0.1
  mtc_share_end: float = -1.0
  budget: str = "exact"
  idf: Any = None
  total_steps: int = 0
  mask_share: float = 0.8
  random_share: float = 0.1

  def __post_init__(self) -> None:
    for name, value, known in (
        ("strategy", self.strategy, strategies.STRATEGIES),
        ("budget", self.budget, strategies.BUDGETS),
    ):
      if value not in known:
        raise ValueError(f"masking {name} {value!r}; known are {known}")
    if "span" in self.strategy and self.budget != "exact":
      raise ValueError("budget: spans are masked with the exact budget alone")
    if self.strategy == "idf" and self.idf is None:
      raise ValueError("strategy 'idf' needs idf, one number per token")
    for name in ("mask_rate", "mask_rate_end"):
      value = getattr(self, name)
      if not 0.0 < value < 1.0 and (name == "mask_rate" or value):
        raise ValueError(f"{name} is {value}; give it in (0, 1)")
    if self.span_length < 1 or self.temperature < 0:
      raise ValueError(
          f"span_length {self.span_length} must be at least 1, temperature"
          f" {self.temperature} at least 0"
      )
    if self._is_scheduled and self.total_steps < 1:
      raise ValueError("total_steps is needed for what changes linearly")
    shares = (self.mask_share, self.random_share)
    if min(shares) < 0 or sum(shares) > 1:
      raise ValueError(
          f"mask_share {shares[0]} and random_share {shares[1]} must be at"
          " least 0, and 1 together at most"
      )

  @property
  def requires(self) -> Requires:
    names = [name for name, _ in self.hidden]
    if self.strategy == "session_span":
      names.append("sessions")
    return Requires(("tokens", "segment_ids", *names), hides_events=True)

  def init_state(self) -> State:
    """The table and the counter that the strategy needs.

    `confidence` [vocab_size]: how well each token is predicted; `steps` done.
    """
    state = {}
    if self.strategy in strategies.BY_CONFIDENCE:
      state["confidence"] = jnp.zeros((self.vocab_size,))
    if self._is_scheduled:
      state["steps"] = jnp.zeros((), jnp.int32)
    return state

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
      The loss, metrics (`loss`, `accuracy`, the realised `mask_rate`, its
      `budget_error`, `padding_share`; `masked_confidence` of strategies that
      know it), the new state.
    """
    head, targets = self.predict(model, batch, state, key)
    return self.event_loss(head, batch, targets, state)

  def predict(
      self, model: Any, batch: Batch, state: State, key: jax.Array
  ) -> tuple[dict[str, Any], dict[str, jax.Array]]:
    """What the model says of masked events, and `targets` of `corrupt`."""
    corrupt_key, dropout_key = jax.random.split(key)
    inputs, targets = self.corrupt(batch, corrupt_key, state)
    head = model(
        inputs,
        targets["at"],
        deterministic=False,
        rngs=nnx.Rngs(dropout=dropout_key),
    )
    return head, targets

  def event_loss(
      self,
      head: Mapping[str, Any],
      batch: Batch,
      targets: Mapping[str, jax.Array],
      state: State,
  ) -> tuple[jax.Array, Metrics, State]:
    """What `loss` returns, from what `predict` returns."""
    weights = targets["weights"]
    total = jnp.maximum(weights.sum(), 1.0)
    loss, nll, correct = token_loss(
        head, targets["tokens"], weights / total
    )
    realised = weights.sum() / jnp.maximum(targets["num_eligible"], 1)
    metrics = {
        "loss": loss,
        "accuracy": (correct * weights).sum() / total,
        "mask_rate": realised,
        "padding_share": padding_share(batch),
    }
    if self.strategy != "uniform" or self._is_scheduled:
      metrics["budget_error"] = realised / self._rate(state) - 1
    if "confidence" in state:
      known = state["confidence"][targets["tokens"]]
      metrics["masked_confidence"] = (known * weights).sum() / total
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
    layout = strategies.Layout(
        tokens, eligible, segment_ids, self.max_segments
    )
    # Folded in, not split off: the other draws stay as they were.
    draw_key = jax.random.fold_in(key, 4)
    at, valid = self._choose(choice_key, draw_key, batch, layout, state)
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

  @property
  def _is_scheduled(self) -> bool:
    return self.mask_rate_end > 0 or (
        self.strategy == "pmtc" and self.mtc_share_end >= 0
    )

  def _now(self, start: float, end: float, state: State) -> jax.Array | float:
    """A setting at this step, between its values at the start and the end."""
    if "steps" not in state:
      return start
    done = jnp.minimum(state["steps"] / max(self.total_steps - 1, 1), 1.0)
    return start + (end - start) * done

  def _rate(self, state: State) -> jax.Array | float:
    end = self.mask_rate_end or self.mask_rate
    return self._now(self.mask_rate, end, state)

  def _choose(
      self,
      key: jax.Array,
      draw_key: jax.Array,
      batch: Batch,
      layout: strategies.Layout,
      state: State,
  ) -> tuple[jax.Array, jax.Array]:
    """Offsets and which of them are valid, see `budgets.choose_masked`."""
    rate, length = self._rate(state), layout.tokens.shape[1]
    highest = max(self.mask_rate, self.mask_rate_end)
    if self.budget == "bernoulli":
      scores, temperature = self._scored(draw_key, layout, state)
      share = strategies.probabilities(layout, scores, temperature, rate)
      return budgets.chosen(
          jax.random.uniform(key, share.shape) < share,
          budgets.max_drawn(length, highest),
      )
    return budgets.choose_masked(
        self._ranked(key, batch, layout, state),
        layout.eligible,
        layout.segment_ids,
        jax.random.uniform(draw_key, layout.tokens.shape[:1]),
        mask_rate=rate,
        max_segments=self.max_segments,
        most=budgets.max_masked(length, highest),
    )

  def _ranked(
      self,
      key: jax.Array,
      batch: Batch,
      layout: strategies.Layout,
      state: State,
  ) -> jax.Array:
    """[batch, length]; the highest of each segment are masked."""
    if self.strategy == "uniform":
      return jax.random.uniform(key, layout.tokens.shape)
    new = jnp.diff(layout.segment_ids, axis=1, prepend=-1) != 0
    if self.strategy == "session_span":
      new |= jnp.diff(batch["sessions"], axis=1, prepend=-1) != 0
      return strategies.span_scores(key, new, math.inf)
    if self.strategy == "span":
      return strategies.span_scores(key, new, self.span_length)
    batch_key, noise_key = jax.random.split(key)
    scores, temperature = self._scored(batch_key, layout, state)
    return strategies.with_noise(noise_key, scores, temperature)

  def _scored(
      self, key: jax.Array, layout: strategies.Layout, state: State
  ) -> tuple[jax.Array, jax.Array | float]:
    """Scores [batch, length] and the temperature of what goes by scores."""
    if self.strategy == "uniform":
      return jnp.zeros(layout.tokens.shape), 1.0
    if self.strategy == "idf":
      scores = strategies.idf_scores(layout, jnp.asarray(self.idf))
      return scores, self.temperature or 3.0
    scores, mean = strategies.confidence_scores(layout.tokens, state)
    if self.strategy == "pmtc":
      share = self._now(self.mtc_share, self.mtc_share_end, state)
      scores = jnp.where(jax.random.uniform(key) < share, scores, 0.0)
    return scores, self.temperature or mean

  def _update(
      self, state: State, targets: Mapping[str, jax.Array], nll: jax.Array
  ) -> State:
    """c[v] <- (c[v] + mean probability of v where v was masked) / 2."""
    if "steps" in state:
      state = state | {"steps": state["steps"] + 1}
    if "confidence" not in state:
      return state
    add = lambda x: jnp.zeros((self.vocab_size,)).at[targets["tokens"]].add(x)
    count = add(targets["weights"])
    found = add(targets["weights"] * jnp.exp(-nll)) / jnp.maximum(count, 1)
    old = state["confidence"]
    new = jnp.where(count > 0, (found + old) / 2, old)
    return state | {"confidence": new}


def _write(
    row: jax.Array, at: jax.Array, values: jax.Array, valid: jax.Array
) -> jax.Array:
  """[batch, length] with values at offsets; offsets not valid fall outside."""
  return put_rows(row, jnp.where(valid, at, row.shape[1]), values)

"""Future events: how well a causal model says what happens within a horizon."""

from collections.abc import Iterator, Mapping
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from behavior_lm.baselines import future_counts
from behavior_lm.common.errors import UserError
from behavior_lm.data.fields import Batch
from behavior_lm.data.hidden_events import SpelledBits
from behavior_lm.data.token_source import open_tokens
from behavior_lm.evaluation.table import RatioScores
from behavior_lm.evaluation.token_scores import fixed_batches
from behavior_lm.evaluation.token_scores import marked_offsets
from behavior_lm.evaluation.token_scores import Subject
from behavior_lm.layers.heads import logits
from behavior_lm.logs import schema
from behavior_lm.objectives.cross_entropy import in_pieces
from behavior_lm.objectives.future_events import future_head
from behavior_lm.objectives.future_events import FutureEvents
from behavior_lm.training.sharding import put_batch
from behavior_lm.training.state import merge_model

# Tokens that are named.
BEST = 10
# Numbers of logits that exist at once.
_AT_ONCE = 2**22
_NEVER = -1e30


class FutureEventScores:
  """Scores the distribution of a horizon's events, see `FutureEvents`.

  Every `stride`-th event of a sequence is asked, by its place in the sequence;
  its context and its future are those of its window, so that figures compare
  between runs of one `data.max_length` alone. Events with no event in their
  horizon are left out, and counted.

  Args:
    subject: what is scored.
    split: its name.
    every: steps between two evaluations while training; 0 is never.
    horizon, cut_horizons: see `objectives.future_events.FutureEvents`.
    stride: events from one that is asked to the next; the futures of
      neighbours are nearly the same.
  """

  title = "Future events"
  columns = (
      dict(
          name="bits", title="bits per future event", format=".3f", better="low"
      ),
      dict(
          name="bits_saved",
          title="bits saved against popularity",
          format=".3f",
          better="high",
      ),
      dict(
          name="recall@10", title="recall@10", format=".1%", better="high"
      ),
      dict(
          name="left_out",
          title="events without a future",
          format=".1%",
          better="low",
      ),
  )
  main = "bits"
  notes = (
      "Bits are those of the tokens: the cross entropy between the model's"
      " distribution and that of the events of the horizon, the mean over the"
      " events that are asked. Recall@10 is the share of the horizon's events"
      " whose token is among the ten most probable ones.",
      "Popularity is the share of each token in training. The own events so far"
      f" are those of the window, and {future_counts.PRIOR_EVENTS:g} events by"
      " popularity.",
  )

  def __init__(
      self,
      subject: Subject,
      *,
      split: str,
      every: int = 0,
      horizon: float = 600.0,
      cut_horizons: bool = True,
      stride: int = 8,
  ) -> None:
    if stride < 1:
      raise ValueError(f"stride is {stride}; ask every event with 1")
    self.subject, self.split, self.every = subject, split, every
    self.settings = {
        "horizon": horizon, "cut_horizons": cut_horizons, "stride": stride
    }
    self._stride = stride
    self._objective = FutureEvents(
        schema.NUM_SPECIAL,
        schema.UNK_ID,
        horizon=horizon,
        cut_horizons=cut_horizons,
    )
    self._users = subject.users(split)
    spelled = SpelledBits(subject.dataset, subject.tokenizer)
    self._windows = subject.windows(split, spelled)
    self._futures = jax.jit(self._objective.futures)
    self._score = jax.jit(functools.partial(_score, subject.graphdef))

  def run(self, state: Mapping[str, Any]) -> dict[str, float]:
    """bits, bits_saved, recall@10, left_out."""
    return self.scores(state).summary()

  def scores(self, state: Mapping[str, Any]) -> RatioScores:
    """Sums over the events of each sequence that are asked."""
    sums = _Sums(self._users)
    for batch, futures, asked in self._asked(sums):
      at, valid = marked_offsets(asked)
      nats, recalled = self._score(
          state["params"],
          state["model_state"],
          put_batch(
              {name: batch[name] for name in self.subject.names},
              self.subject.mesh,
          ),
          put_batch(
              {
                  "at": at,
                  "reach": np.take_along_axis(futures.reach, at, 1),
                  "tokens": batch["tokens"],
                  "is_event": futures.is_event,
              },
              self.subject.mesh,
          ),
      )
      popular = self._popular_nats(batch, futures)
      sums.add(
          np.take_along_axis(batch["sequence"], at, 1)[valid],
          np.asarray(nats)[valid],
          np.take_along_axis(popular, at, 1)[valid],
          np.asarray(recalled)[valid],
      )
    return self._ratios(sums)

  def baselines(self) -> tuple[dict[str, RatioScores], tuple[str, ...]]:
    """Popularity in training, and a user's own events so far."""
    popularity, own = _Sums(self._users), _Sums(self._users)
    for batch, futures, asked in self._asked(popularity, own):
      events = np.where(futures.is_event, batch["tokens"], -1)
      for row, at in zip(*np.nonzero(asked), strict=True):
        # CLS, which is no event, is at position 0 of a window.
        start = at - batch["positions"][row, at]
        history = _known(events[row, start : at + 1])
        future = _known(events[row, at + 1 : futures.reach[row, at] + 1])
        plain = future_counts.score(self._counts.popular(), future, BEST)
        mine = future_counts.score(self._counts.own(history), future, BEST)
        where = batch["sequence"][row, at]
        popularity.add(where, plain[0], plain[0], plain[1])
        own.add(where, mine[0], plain[0], mine[1])
    return {
        "popularity": self._ratios(popularity),
        "own events so far": self._ratios(own),
    }, ()

  @functools.cached_property
  def _counts(self) -> future_counts.FutureCounts:
    subject = self.subject
    tokens = open_tokens(
        subject.dataset, "train", subject.tokenizer, subject.reading
    )
    size = subject.tokenizer.vocab_size
    counts = future_counts.count_tokens(
        (tokens[place]["tokens"] for place in range(len(tokens))), size
    )
    return future_counts.FutureCounts(counts, _is_symbol(np.arange(size)))

  def _asked(
      self, *sums: "_Sums"
  ) -> Iterator[tuple[Batch, Any, np.ndarray]]:
    """Batches, their `Futures` in NumPy, and [batch, length] who is asked."""
    for batch in fixed_batches(self.subject, self._windows):
      names = ("tokens", "segment_ids", "time_gaps")
      futures: Any = jax.device_get(
          self._futures({name: batch[name] for name in names})
      )
      able = np.asarray(self._objective.asked(futures))
      turn = futures.is_event & (batch["token_index"] % self._stride == 0)
      for one in sums:
        one.count(batch["sequence"][turn], ~able[turn])
      yield batch, futures, turn & able

  def _popular_nats(self, batch: Batch, futures: Any) -> np.ndarray:
    """[batch, length] nats per event of each one's future by popularity."""
    shares = self._counts.popular()[batch["tokens"]]
    nats = -np.log(np.where(futures.is_event, shares, 1.0))
    total = np.cumsum(nats, 1)
    future = np.take_along_axis(total, futures.reach, 1) - total
    means: np.ndarray = future / np.maximum(futures.number, 1)
    return means

  def _ratios(self, sums: "_Sums") -> RatioScores:
    count = sums.asked
    if not count.sum():
      raise UserError(
          f"split {self.split!r} has no event whose window shows an event of"
          f" the next {self.settings['horizon']:g} seconds. Give"
          " --config.evals.NAME.horizon more, or allow cut_horizons."
      )
    bits = sums.nats / math.log(2)
    return RatioScores(
        self._users,
        count,
        {
            "bits": (bits, count),
            "bits_saved": (sums.popular / math.log(2) - bits, count),
            "recall@10": (sums.recalled, count),
            "left_out": (sums.left_out, sums.left_out + count),
        },
    )


class _Sums:
  """Sums by sequence."""

  def __init__(self, users: np.ndarray) -> None:
    make = lambda: np.zeros(len(users))
    self.asked, self.left_out = make(), make()
    self.nats, self.popular, self.recalled = make(), make(), make()

  def count(self, where: np.ndarray, left_out: np.ndarray) -> None:
    np.add.at(self.left_out, where, left_out)

  def add(self, where: Any, nats: Any, popular: Any, recalled: Any) -> None:
    np.add.at(self.asked, where, 1.0)
    np.add.at(self.nats, where, nats)
    np.add.at(self.popular, where, popular)
    np.add.at(self.recalled, where, recalled)


def _known(tokens: np.ndarray) -> np.ndarray:
  """Those that are events; others are -1."""
  found: np.ndarray = tokens[tokens >= 0]
  return found


def _is_symbol(token: Any) -> Any:
  """Whether a token may be an answer; UNK stands for events that happened."""
  return (token >= schema.NUM_SPECIAL) | (token == schema.UNK_ID)


def _score(
    graphdef: Any,
    params: Any,
    model_state: Any,
    inputs: Mapping[str, jax.Array],
    targets: Mapping[str, jax.Array],
) -> tuple[jax.Array, jax.Array]:
  """Nats per future event and the share that is named, [batch, n] each.

  Args:
    graphdef, params, model_state: of the model.
    inputs: what it reads.
    targets: `at` and `reach` [batch, n], `tokens` and `is_event`
      [batch, length].
  """
  with jax.default_matmul_precision("float32"):
    model = merge_model(graphdef, params, model_state)
    head = future_head(model, inputs, targets["at"], deterministic=True)
    size = head["table"].shape[0]
    bias = jnp.where(_is_symbol(jnp.arange(size)), head["bias"], _NEVER)
    tokens, is_event = targets["tokens"], targets["is_event"]
    place = jnp.arange(tokens.shape[1])

    def piece(sums: Any, fields: Any) -> tuple[Any, tuple[jax.Array, ...]]:
      hidden, at, reach = fields
      scores = jax.nn.log_softmax(
          logits({"hidden": hidden, "table": head["table"], "bias": bias})
      )
      best = jax.lax.top_k(scores, min(BEST, size))[1]
      future = (place > at[..., None]) & (place <= reach[..., None])
      future &= is_event[:, None]
      number = jnp.maximum(future.sum(-1), 1)
      found = jax.vmap(lambda row, ids: row[:, ids])(scores, tokens)
      named = (best[..., None] == tokens[:, None, None]).any(2)
      mean = lambda x: jnp.where(future, x, 0.0).sum(-1) / number
      return sums, (mean(-found), mean(named))

    widest = max(size, min(BEST, size) * tokens.shape[1])
    _, found = in_pieces(
        piece,
        _AT_ONCE // widest,
        (),
        head["hidden"],
        targets["at"],
        targets["reach"],
    )
  return found[0], found[1]

"""What would this user do next? Futures sampled from a causal model."""

from collections.abc import Sequence
import functools
from pathlib import Path
from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.data.reading import Reading
from behavior_lm.data.time_gaps import HIDDEN_GAP
from behavior_lm.inference.sequences import Reader
from behavior_lm.layers.heads import logits
from behavior_lm.layers.transformer import TransformerLayer
from behavior_lm.logs import schema
from behavior_lm.objectives.gap_mixture import sample_gaps
from behavior_lm.recipes.shared.loading import load_run
from behavior_lm.recipes.shared.loading import LoadedRun

Caches = list[dict[str, jax.Array]]


class Futures:
  """Samples the events that follow a history, one after the other.

    futures = Futures.load("runs/causal")
    table = futures.sample(history, num_events=20, num_samples=100)

  Keys and values of the events so far are kept, so that an event costs one row
  of each layer. A model that predicts gaps (`objective.gap_weight`) draws the
  time to each event too, and reads it; otherwise the gaps are hidden.

  Args:
    run: of a causal model with one token per event.

  Raises:
    UserError: if the model is not causal, its tokens span several events, or
      it reads what is not known of future events.
  """

  def __init__(self, run: LoadedRun) -> None:
    config = run.config
    reading = Reading.of(config.data)
    for wrong, why in (
        (not config.model.causal, "is not causal (objective=next_events is)"),
        (
            not run.tokenizer.one_token_an_event,
            "has tokens that span several events",
        ),
        (bool(reading.features), f"reads the features {reading.features}"),
        (
            "sessions" in run.model.encoder.config.fields,
            "reads sessions (model.session_rows or model.session_layers)",
        ),
        (
            not all(
                isinstance(layer, TransformerLayer) and layer.takes_steps
                for layer in run.model.encoder.layers
            ),
            f"has layers ({config.model.name}) that do not take tokens one by"
            " one",
        ),
    ):
      if wrong:
        raise UserError(f"this run cannot be sampled from: it {why}.")
    alphabet = run.tokenizer.alphabet
    names = [alphabet.ids(unit) for unit in range(len(alphabet))]
    self._events, self._designs = map(list, zip(*names, strict=True))
    self.reader = Reader(run.tokenizer, reading, run.categories)
    self.max_length = int(config.data.max_length)
    graphdef, self._state = nnx.split(run.model)
    self._program = jax.jit(
        functools.partial(_sample, graphdef, self.max_length),
        static_argnames=("num_events", "num_samples"),
    )

  @classmethod
  def load(
      cls, folder: str | Path, step: int | None = None, *, best: bool = False
  ) -> "Futures":
    """Loads a run folder, see `Embedder.load`."""
    return cls(load_run(folder, step, best=best))

  def sample(
      self,
      history: Any,
      num_events: int,
      *,
      num_samples: int = 1,
      temperature: float = 1.0,
      seed: int = 0,
  ) -> pl.DataFrame:
    """Draws futures of one user.

    Args:
      history: one sequence in any form that `Embedder.encode` reads; the model
        sees its end, as much as fits in a window with the new events.
      num_events: of each future.
      num_samples: futures.
      temperature: divides the logits of events; below 1 draws likely events
        more often, towards 0 the likeliest one alone.
      seed: the same one draws the same futures.

    Returns:
      `sample`, `place` (from 0), `event_id`, `design_id` (null for an event
      alone, which stands for its rare designs) and `gap_seconds`, the time
      since the event before (null if the model predicts none).

    Raises:
      UserError: if the history cannot be read, or a number makes no sense.
    """
    if num_events < 1 or num_samples < 1 or not temperature > 0:
      raise UserError(
          f"num_events {num_events} and num_samples {num_samples} must be at"
          f" least 1, and temperature {temperature} above 0."
      )
    found = self.reader.read(history, "history")
    tokens = np.repeat(found["tokens"][None], num_samples, 0)
    gaps = np.repeat(found["time_gaps"][None], num_samples, 0)
    start = tokens.shape[1]
    key = jax.random.key(seed)
    # At least half of a window is what was before.
    most = max(1, self.max_length // 2)
    for first in range(0, num_events, most):
      more = min(most, num_events - first)
      room = self.max_length - 1 - more
      new = self._program(
          self._state,
          *self._context(tokens, gaps, room),
          temperature,
          jax.random.fold_in(key, first),
          num_events=more,
          num_samples=num_samples,
      )
      tokens = np.concatenate([tokens, new[0]], 1)
      gaps = np.concatenate([gaps, new[1]], 1)
    return self._table(tokens[:, start:], gaps[:, start:])

  def _context(
      self, tokens: np.ndarray, gaps: np.ndarray, room: int
  ) -> tuple[np.ndarray, np.ndarray, np.int32]:
    """The end of each history behind CLS, in a window; and its length."""
    number = min(tokens.shape[1], room)
    rows = np.full((len(tokens), self.max_length), schema.PAD_ID, np.int32)
    times = np.full(rows.shape, HIDDEN_GAP, np.int32)
    rows[:, 0] = schema.CLS_ID
    if number:
      rows[:, 1 : number + 1] = tokens[:, -number:]
      times[:, 1 : number + 1] = gaps[:, -number:]
    return rows, times, np.int32(number + 1)

  def _table(self, tokens: np.ndarray, gaps: np.ndarray) -> pl.DataFrame:
    units = (tokens.ravel() - schema.NUM_SPECIAL).tolist()
    named = lambda ids: pl.Series([ids[n] for n in units], dtype=pl.String)
    samples, places = np.indices(tokens.shape)
    seconds = pl.Series(gaps.ravel() / schema.GAPS_PER_SECOND)
    return pl.DataFrame({
        "sample": samples.ravel(),
        "place": places.ravel(),
        "event_id": named(self._events),
        "design_id": named(self._designs),
        "gap_seconds": seconds.set(seconds < 0, None),
    })


def _sample(
    graphdef: Any,
    length: int,
    state: Any,
    tokens: jax.Array,
    gaps: jax.Array,
    start: jax.Array,
    temperature: jax.Array,
    key: jax.Array,
    *,
    num_events: int,
    num_samples: int,
) -> tuple[jax.Array, jax.Array]:
  """[samples, length] histories -> [samples, num_events] tokens and gaps."""
  model = nnx.merge(graphdef, state)
  caches = [
      _layer(model.encoder, number).attention.make_cache(num_samples, length)
      for number in range(model.encoder.config.num_layers)
  ]

  def read(place: jax.Array, caches: Caches) -> Caches:
    return advance(model, tokens, gaps, place, caches)[1]

  # All of the history but its last event, which the first draw reads.
  caches = jax.lax.fori_loop(0, start - 1, read, caches)

  def draw(carry: Any, number: jax.Array) -> tuple[Any, Any]:
    tokens, gaps, caches = carry
    place = start - 1 + number
    head, caches = advance(model, tokens, gaps, place, caches)
    of_token, of_gap = jax.random.split(jax.random.fold_in(key, number))
    scores = logits(head)[:, 0] / temperature
    is_event = jnp.arange(scores.shape[-1]) >= schema.NUM_SPECIAL
    token = jax.random.categorical(
        of_token, jnp.where(is_event, scores, -jnp.inf)
    )
    gap = jnp.full(token.shape, HIDDEN_GAP, jnp.int32)
    if "gap_mixture" in head:
      gap = sample_gaps(head["gap_mixture"][:, 0], of_gap)
    put = lambda row, new: jax.lax.dynamic_update_slice_in_dim(
        row, new[:, None].astype(jnp.int32), place + 1, 1
    )
    return (put(tokens, token), put(gaps, gap), caches), (token, gap)

  _, drawn = jax.lax.scan(
      draw, (tokens, gaps, caches), jnp.arange(num_events)
  )
  return drawn[0].T.astype(jnp.int32), drawn[1].T


def advance(
    model: Any,
    tokens: jax.Array,
    gaps: jax.Array,
    place: jax.Array,
    caches: Caches,
) -> tuple[dict[str, jax.Array], Caches]:
  """The heads at one place, from the keys and values of those before.

  Args:
    model: a `models.language_model.LanguageModel`.
    tokens, gaps: [batch, length] int32; what is behind `place` is not read.
    place: [] int32.
    caches: of all layers, up to the place before.

  Returns:
    What the model's heads give, [batch, 1, ...] each, and the caches with
    this place.
  """
  encoder = model.encoder
  # Hashed n-grams read the tokens before; the rest of the input is a token's.
  behind = max(1, encoder.config.ngram_order)
  steps = place + 1 - behind + jnp.arange(behind)
  here = jnp.broadcast_to(jnp.maximum(steps, 0), (len(tokens), behind))
  hidden = encoder.embed(
      jnp.take_along_axis(tokens, here, 1),
      here + encoder.first_position,
      jnp.take_along_axis(gaps, here, 1),
      jnp.where(steps >= 0, 1, 0) * jnp.ones_like(here),
      {},
      deterministic=True,
      rngs=None,
  )[:, -1:]
  new = []
  for number, cache in enumerate(caches):
    hidden, cache = _layer(encoder, number).step(hidden, cache, place)
    new.append(cache)
  if encoder.final_norm is not None:
    hidden = encoder.final_norm(hidden)
  head = model.head(hidden, encoder.embed.token)
  if model.gap_head is not None:
    head["gap_mixture"] = model.gap_head(hidden)
  return head, new


def _layer(encoder: Any, number: int) -> TransformerLayer:
  """Layers with shared weights come in turn."""
  layers: Sequence[TransformerLayer] = encoder.layers
  return layers[number % len(layers)]

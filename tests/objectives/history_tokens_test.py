from flax import nnx
from hypothesis import given
from hypothesis import strategies as st
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.objectives.history_tokens import place_history_tokens
from tests.models.encoders.encoder_test import full_rows
from tests.models.encoders.encoder_test import make

MASK, CLS, NO_GAP = 1, 3, -1
LENGTH, SEGMENTS = 16, 5


def packed(sizes):
  """One row of segments with so many tokens each, CLS included."""
  ids, positions = np.zeros((2, 1, LENGTH), np.int32)
  start = 0
  for number, size in enumerate(sizes, 1):
    size = min(size, LENGTH - start)
    ids[0, start : start + size] = number
    positions[0, start : start + size] = np.arange(size)
    start += size
  events = np.arange(LENGTH)[None] + 10
  tokens = np.where(ids > 0, np.where(positions == 0, CLS, events), 0)
  gaps = np.where((ids > 0) & (positions > 0), 7, NO_GAP)
  batch = dict(
      tokens=tokens, time_gaps=gaps, segment_ids=ids, positions=positions
  )
  return {name: jnp.asarray(x, jnp.int32) for name, x in batch.items()}


def place(batch, chance, share, rate=0.5):
  return place_history_tokens(
      batch,
      jnp.asarray([chance]),
      jnp.asarray([share]),
      rate=rate,
      token=MASK,
      hidden=(("time_gaps", NO_GAP),),
  )


@given(
    st.lists(st.integers(1, 7), min_size=1, max_size=SEGMENTS),
    st.lists(st.floats(0, 0.999), min_size=SEGMENTS, max_size=SEGMENTS),
    st.lists(st.floats(0, 0.999), min_size=SEGMENTS, max_size=SEGMENTS),
)
def test_a_window_has_one_history_token_or_none(sizes, chance, share):
  batch = packed(sizes)
  out = {k: np.asarray(v)[0] for k, v in place(batch, chance, share).items()}
  before = {k: np.asarray(v)[0] for k, v in batch.items()}
  for number in range(1, before["segment_ids"].max() + 1):
    inside = before["segment_ids"] == number
    tokens, since = out["tokens"][inside], out["since"][inside]
    at = np.flatnonzero(tokens == MASK)
    wanted = chance[number - 1] < 0.5 and inside.sum() >= 3
    assert len(at) == wanted
    if not wanted:
      np.testing.assert_array_equal(tokens, before["tokens"][inside])
      assert (since == 0).all()
      continue
    # Behind CLS and in front of another event.
    assert 1 <= at[0] < inside.sum() - 1
    np.testing.assert_array_equal(
        since, np.where(np.arange(inside.sum()) > at[0], at[0], 0)
    )
    gaps = out["time_gaps"][inside]
    changed = gaps != before["time_gaps"][inside]
    assert np.flatnonzero(changed).tolist() == [at[0]]
    assert gaps[at[0]] == NO_GAP
  padding = before["segment_ids"] == 0
  assert (out["since"][padding] == 0).all()
  assert (out["tokens"][padding] == 0).all()


@pytest.mark.slow
def test_later_events_know_the_past_by_the_history_token_alone():
  model = make("bert", causal=True, num_layers=1, time_encoding="none")
  batch = full_rows()
  batch = {
      name: jnp.broadcast_to(x[:1], x.shape) for name, x in batch.items()
  }
  # Two rows that differ in one early event.
  batch["tokens"] = batch["tokens"].at[1, 4].add(1)
  placed = place_history_tokens(
      batch,
      jnp.zeros((2, 1)),
      jnp.full((2, 1), 0.5),
      rate=1.0,
      token=MASK,
      hidden=(),
  )
  (at,) = np.unique(np.argwhere(np.asarray(placed["tokens"]) == MASK)[:, 1])
  hidden = np.asarray(nnx.jit(lambda model, x: model.encode(x))(model, placed))
  apart = np.abs(hidden[0] - hidden[1]).max(-1)
  assert (apart[:4] == 0).all() and (apart[4 : at + 1] > 1e-6).all()
  # In one layer they read the token itself, which is the same in both rows.
  assert (apart[at + 1 :] == 0).all()

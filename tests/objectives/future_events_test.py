"""Future events against plain loops over each window."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.common.rows import take_rows
from behavior_lm.objectives.future_events import draw_pairs
from behavior_lm.objectives.future_events import find_reach
from behavior_lm.objectives.future_events import FutureEvents
from tests.objectives.windows import LENGTH
from tests.objectives.windows import packed
from tests.objectives.windows import SIZES
from tests.objectives.windows import SPECIAL
from tests.objectives.windows import UNK

SEP, VOCAB, WIDTH = 4, 40, 4
HORIZON = 90.0  # seconds; gaps of the windows are 0 to 90 seconds


def batch_of(sizes=SIZES, seed=0):
  """Packed windows with events that are unknown and marks between them."""
  batch = packed(sizes, LENGTH, seed)
  rng = np.random.default_rng(seed + 100)
  for token, gap in ((UNK, None), (SEP, -1)):
    here = (batch["positions"] > 1) & (rng.random(batch["tokens"].shape) < 0.2)
    batch["tokens"][here] = token
    if gap is not None:
      batch["time_gaps"][here] = gap
  return batch


def plain_futures(batch, horizon):
  """{(row, place): (tokens of the horizon, whether it is cut)} by loops."""
  found = {}
  is_event = lambda token: token >= SPECIAL or token == UNK
  for row, ids in enumerate(batch["segment_ids"]):
    for at in np.flatnonzero(ids):
      if not is_event(batch["tokens"][row, at]):
        continue
      passed, ahead, last = 0, [], at
      for place in range(at + 1, LENGTH):
        passed += max(int(batch["time_gaps"][row, place]), 0)
        if ids[place] != ids[at] or passed > horizon * 10:
          break
        last = place
        if is_event(batch["tokens"][row, place]):
          ahead.append(int(batch["tokens"][row, place]))
      ends = last == LENGTH - 1 or ids[last + 1] != ids[at]
      found[row, int(at)] = ahead, bool(ends)
  return found


OBJECTIVE = FutureEvents(SPECIAL, UNK, horizon=HORIZON, position_share=1.0)
futures_of = jax.jit(OBJECTIVE.futures)


@pytest.mark.parametrize("seed", range(3))
def test_futures_are_those_of_a_loop_over_each_window(seed):
  batch = batch_of(seed=seed)
  futures = jax.tree.map(np.asarray, futures_of(batch))
  want = plain_futures(batch, HORIZON)
  places = {tuple(map(int, at)) for at in np.argwhere(futures.is_event)}
  assert places == want.keys()
  assert {0, 1, 2} <= {len(ahead) for ahead, _ in want.values()}
  for (row, at), (ahead, cut) in want.items():
    here = slice(at + 1, futures.reach[row, at] + 1)
    tokens = batch["tokens"][row, here][futures.is_event[row, here]]
    assert tokens.tolist() == ahead
    assert futures.number[row, at] == len(ahead)
    assert futures.is_cut[row, at] == cut
  assert not futures.number[~futures.is_event].any()


def test_a_window_has_the_futures_that_it_has_alone():
  together, alone = batch_of(), batch_of([[], [], []])
  start = int(np.flatnonzero(together["segment_ids"][0] == 2)[0])
  here = together["segment_ids"][0] == 2
  size = here.sum()
  for name, values in together.items():
    alone[name][0, :size] = values[0][here]
  alone["segment_ids"][0, :size] = 1
  found, want = futures_of(alone), futures_of(together)
  shift = (0, start, 0, 0)
  for own, packed_one, by in zip(found, want, shift, strict=True):
    expected = np.asarray(packed_one)[0, start : start + size]
    np.testing.assert_array_equal(
        np.asarray(own)[0, :size], expected.astype(int) - by
    )


def test_years_between_events_do_not_overflow():
  most = np.iinfo(np.int32).max
  gaps = jnp.asarray([[-1, most, most, 5, 2**30 - 7, 1, 1, most]])
  ids = jnp.ones_like(gaps)
  found = find_reach(ids, gaps, 2**30 - 2)
  assert found.tolist() == [[0, 1, 4, 6, 6, 6, 6, 7]]


@pytest.mark.slow
def test_drawn_pairs_are_the_events_of_all_horizons_in_the_mean():
  batch = batch_of()
  futures = OBJECTIVE.futures(batch)
  asked = OBJECTIVE.asked(futures)
  keys = jax.random.split(jax.random.key(0), 4000)
  tokens = jnp.asarray(batch["tokens"])

  @jax.jit
  def mean_weights(keys):
    def one(key):
      at, drawn, weights = draw_pairs(key, tokens, futures, asked, 5)
      put = lambda at, drawn, w: jnp.zeros((LENGTH, VOCAB)).at[at, drawn].add(w)
      return jax.vmap(put)(at, drawn, weights)

    return jax.vmap(one)(keys).mean(0)

  found = np.asarray(mean_weights(keys))
  want = np.zeros_like(found)
  for (row, at), (ahead, _) in plain_futures(batch, HORIZON).items():
    for token in ahead:
      want[row, at, token] += 1 / len(ahead)
  assert want.sum() == asked.sum()
  np.testing.assert_array_equal(found > 0, want > 0)
  np.testing.assert_allclose(found, want, atol=0.15)
  # A row's weights always add up to its positions.
  np.testing.assert_allclose(
      found.sum((1, 2)), want.sum((1, 2)), rtol=1e-5
  )


class Model:
  """Fixed states; the head of the objective is its factors."""

  def __init__(self, factors):
    hidden, table, bias = factors
    embed = types.SimpleNamespace(token=table)
    self.encoder = types.SimpleNamespace(
        embed=embed,
        encode=lambda batch, offsets, **_: take_rows(hidden, offsets),
    )
    self.token_heads = {
        "future_events": lambda hidden, table: {
            "hidden": hidden, "table": table, "bias": bias,
        }
    }


@pytest.mark.slow
def test_the_loss_and_its_gradient_are_those_of_the_drawn_pairs():
  batch, key = batch_of(), jax.random.key(3)
  rng = np.random.default_rng(0)
  factors = [
      jnp.asarray(rng.normal(size=shape), jnp.float32)
      for shape in ((3, LENGTH, WIDTH), (VOCAB, WIDTH), (VOCAB,))
  ]
  futures = OBJECTIVE.futures(batch)
  asked = OBJECTIVE.asked(futures)
  # All positions are asked, so that only events are drawn.
  at, drawn, weights = draw_pairs(
      jax.random.split(key)[0], jnp.asarray(batch["tokens"]), futures, asked,
      LENGTH,
  )
  np.testing.assert_array_equal(weights, weights > 0)

  def plain(factors):
    hidden, table, bias = factors
    log_p = jax.nn.log_softmax(hidden @ table.T + bias)
    rows = jnp.arange(3)[:, None]
    return -(log_p[rows, at, drawn] * weights).sum() / asked.sum()

  def loss(factors):
    found, metrics, state = OBJECTIVE.loss(Model(factors), batch, {}, key)
    assert state == {}
    return found, metrics

  (found, metrics), slopes = jax.jit(
      jax.value_and_grad(loss, has_aux=True)
  )(factors)
  want, want_slopes = jax.jit(jax.value_and_grad(plain))(factors)
  assert float(found) == pytest.approx(float(want), rel=1e-5)
  for one, other in zip(slopes, want_slopes, strict=True):
    np.testing.assert_allclose(one, other, atol=1e-6)
  plain_ones = plain_futures(batch, HORIZON).values()
  share = lambda flags: np.mean([bool(flag) for flag in flags])
  assert float(metrics["no_future"]) == pytest.approx(
      share(not ahead for ahead, _ in plain_ones)
  )
  assert float(metrics["cut"]) == pytest.approx(
      share(cut for _, cut in plain_ones)
  )
  assert float(metrics["positions"]) == sum(bool(a) for a, _ in plain_ones)


def test_events_whose_horizon_is_cut_can_be_left_out():
  batch = batch_of()
  whole = FutureEvents(SPECIAL, UNK, horizon=HORIZON, cut_horizons=False)
  asked = np.asarray(whole.asked(futures_of(batch)))
  want = plain_futures(batch, HORIZON)
  kept = {place for place, (ahead, cut) in want.items() if ahead and not cut}
  assert {tuple(map(int, at)) for at in np.argwhere(asked)} == kept
  assert 0 < len(kept) < sum(bool(ahead) for ahead, _ in want.values())


def test_it_says_what_it_requires():
  requires = OBJECTIVE.requires
  assert requires.predicts_future and not requires.hides_events
  assert set(requires.fields) == {"tokens", "segment_ids", "time_gaps"}


@pytest.mark.parametrize("wrong, message", [
    ({"horizon": 0.0}, "horizon is 0"),
    ({"horizon": 1e9}, "horizon is 1"),
    ({"position_share": 0.0}, "position_share is 0"),
    ({"position_share": 1.5}, "position_share is 1.5"),
])
def test_settings_out_of_range_are_refused(wrong, message):
  with pytest.raises(ValueError, match=message):
    FutureEvents(SPECIAL, UNK, **wrong)

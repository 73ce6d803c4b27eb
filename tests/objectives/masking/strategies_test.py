"""Masking strategies against plain NumPy, and their budgets."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.objectives.masked_events import MaskedEvents
from behavior_lm.objectives.masking import strategies

PAD, MASK, UNK, CLS, SPECIAL = 0, 1, 2, 3, 5
VOCAB, LENGTH, ROWS = 60, 64, 8
CONFIDENCE = np.linspace(0, 1, VOCAB).astype(np.float32)


def objective(**options):
  values = dict(
      vocab_size=VOCAB,
      num_special=SPECIAL,
      mask_id=MASK,
      unk_id=UNK,
      max_segments=3,
      mask_rate=0.15,
      idf=CONFIDENCE,
      total_steps=11,
  )
  return MaskedEvents(**values | options)


@functools.cache
def _batch():
  """Two segments of 21 and 31 events, and padding."""
  rng = np.random.default_rng(0)
  ids = np.ones((ROWS, LENGTH), np.int32)
  ids[:, 22:54], ids[:, 54:] = 2, 0
  tokens = rng.zipf(1.3, ids.shape) % (VOCAB - SPECIAL) + SPECIAL
  tokens[:, [0, 22]] = CLS
  tokens[ids == 0] = PAD
  sessions = np.cumsum(rng.random(ids.shape) < 0.2, axis=1)
  found = {"tokens": tokens, "segment_ids": ids, "sessions": sessions}
  return {name: array.astype(np.int32) for name, array in found.items()}


def batch():
  return jax.tree.map(jnp.asarray, _batch())


def layout():
  data = batch()
  eligible = data["tokens"] >= SPECIAL
  return strategies.Layout(data["tokens"], eligible, data["segment_ids"], 3)


def masked(steps=40, state=None, **options):
  """[steps, ROWS, LENGTH] bool: what was masked."""
  made = objective(**options)
  state = made.init_state() if state is None else state

  def choose(key):
    _, targets = made.corrupt(batch(), key, state)
    rows = jnp.arange(ROWS)[:, None]
    return jnp.zeros((ROWS, LENGTH)).at[rows, targets["at"]].max(
        targets["weights"]
    )

  keys = jax.random.split(jax.random.key(0), steps)
  return np.asarray(jax.jit(jax.vmap(choose))(keys)) > 0


def state_of(confidence=CONFIDENCE):
  return {"confidence": jnp.asarray(confidence)}


EXACT = [
    ("uniform", 0.0),
    ("span", 0.0),
    ("session_span", 0.0),
    *[(name, t) for name in ("idf", "mtc", "pmtc") for t in (1e-6, 0.01, 1.0)],
]


@pytest.mark.slow
@pytest.mark.parametrize(("strategy", "temperature"), EXACT)
def test_every_strategy_keeps_its_budget_at_every_temperature(
    strategy, temperature
):
  state = state_of() if "mtc" in strategy else {}
  found = masked(
      strategy=strategy, temperature=temperature, mtc_share=0.5, state=state
  )
  # 52 eligible tokens per row: 7.8 in expectation, rounded once per row.
  assert set(found.sum(2).ravel()) == {7, 8}
  realised = found.sum() / (found.shape[0] * ROWS * 52)
  assert realised == pytest.approx(0.15, abs=0.15 * 0.02)


@pytest.mark.slow
def test_spans_are_longer_than_chance_and_have_their_mean_length():
  alone = masked(strategy="uniform")
  spans = masked(strategy="span", span_length=4.0)
  pairs = lambda x: (x[:, :, 1:] & x[:, :, :-1]).sum() / x.sum()
  assert pairs(spans) > 0.5 > 2 * pairs(alone)
  rates = spans.mean((0, 1))
  eligible = np.asarray(layout().eligible[0])
  assert (rates[~eligible] == 0).all() and (rates[eligible] > 0.03).all()


def test_session_spans_begin_where_a_session_begins():
  found = masked(strategy="session_span")
  data = jax.tree.map(np.asarray, batch())
  change = lambda name: np.diff(data[name], axis=1, prepend=-1) != 0
  begins = change("sessions") | change("segment_ids")
  begins[:, 1:] |= data["tokens"][:, :-1] == CLS
  first = found.copy()
  first[:, :, 1:] &= ~found[:, :, :-1]
  assert (first <= begins[None]).all()


@pytest.mark.slow
def test_idf_counts_a_token_within_its_segment():
  data = layout()
  found = np.asarray(strategies.idf_scores(data, jnp.asarray(CONFIDENCE)))
  tokens, ids = np.asarray(data.tokens), np.asarray(data.segment_ids)
  for row, place in np.ndindex(ROWS, LENGTH):
    same = (tokens[row] == tokens[row, place]) & (ids[row] == ids[row, place])
    want = CONFIDENCE[tokens[row, place]] / same.sum()
    assert found[row, place] == pytest.approx(want, rel=1e-6)


@pytest.mark.slow
def test_probabilities_are_the_clipped_softmax_of_each_segment():
  data = layout()
  scores = jax.random.uniform(jax.random.key(1), data.tokens.shape)
  found = np.asarray(strategies.probabilities(data, scores, 0.05, 0.15))
  want = np.zeros_like(found)
  for row in range(ROWS):
    for segment in (1, 2):
      inside = data.eligible[row] & (data.segment_ids[row] == segment)
      inside = np.asarray(inside)
      power = np.exp(np.asarray(scores)[row, inside] / 0.05)
      share = 0.15 * inside.sum() * power / power.sum()
      want[row, inside] = np.clip(share, 0, 1)
  np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_the_draws_of_the_paper_lose_their_budget_when_scores_are_sharp():
  rates = {}
  for temperature in (1e-4, 0.05, 10.0):
    found = masked(
        budget="bernoulli",
        strategy="mtc",
        temperature=temperature,
        state=state_of(),
    )
    rates[temperature] = found.sum() / (found.shape[0] * ROWS * 52)
  # Equal tokens share their weight; distinct ones would lose nearly all.
  assert rates[1e-4] < 0.13 < rates[0.05] < 0.16
  assert rates[10.0] == pytest.approx(0.15, abs=0.01)


def test_uniform_draws_have_the_rate_in_the_mean():
  found = masked(budget="bernoulli")
  eligible = np.asarray(layout().eligible)
  assert not found[:, ~eligible].any()
  assert found[:, eligible].mean() == pytest.approx(0.15, abs=0.01)


def test_at_the_lowest_temperature_the_least_known_are_masked():
  found = masked(strategy="mtc", temperature=1e-6, state=state_of())
  tokens = np.asarray(batch()["tokens"])
  for row in range(ROWS):
    for low, high in ((1, 22), (23, 54)):
      inside = tokens[row, low:high]
      for mask in found[:4, row, low:high]:
        # All tokens less known than a masked one are masked too.
        assert mask[inside < inside[mask].max()].all()


@pytest.mark.slow
def test_equal_scores_are_masked_evenly_at_the_lowest_temperature():
  state = state_of(np.full(VOCAB, 0.3, np.float32))
  found = masked(200, strategy="mtc", temperature=1e-6, state=state)
  rates = found[:, :, 23:54].mean((0, 1))
  assert rates.std() < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_pmtc_uses_confidence_in_its_share_of_the_batches(share):
  found = masked(
      100, strategy="pmtc", temperature=1e-6, mtc_share=share, state=state_of()
  )
  sharp = masked(strategy="mtc", temperature=1e-6, state=state_of())
  tokens = np.asarray(batch()["tokens"])
  typical = np.median(np.where(sharp, tokens, 0).sum((1, 2)))
  low = np.where(found, tokens, 0).sum((1, 2)) < 1.3 * typical
  assert low.mean() == pytest.approx(share, abs=0.15)


class _Model:
  """Equal logits; the objective needs no more."""

  def __call__(self, batch, offsets, **_):
    del batch
    return {
        "hidden": jnp.zeros((*offsets.shape, 4)),
        "table": jnp.zeros((VOCAB, 4)),
        "bias": jnp.zeros(VOCAB),
    }


@pytest.mark.slow
def test_rates_and_shares_change_linearly_over_the_run():
  made = objective(
      strategy="pmtc", mask_rate=0.2, mask_rate_end=0.6, mtc_share_end=1.0,
      mtc_share=0.0,
  )  # fmt: skip
  run = jax.jit(lambda state, key: made.loss(_Model(), batch(), state, key))
  state, rates = made.init_state(), []
  for step in range(13):
    _, metrics, state = run(state, jax.random.key(step))
    rates.append(float(metrics["mask_rate"]))
    assert abs(float(metrics["budget_error"])) < 0.03
  want = np.minimum(0.2 + 0.04 * np.arange(13), 0.6)
  np.testing.assert_allclose(rates, want, atol=0.01)
  assert int(state["steps"]) == 13
  assert 0 < float(metrics["masked_confidence"]) < 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strategy": "spam"}, "masking strategy 'spam'; known are"),
        ({"budget": "some"}, "masking budget 'some'; known are"),
        ({"strategy": "span", "budget": "bernoulli"}, "exact budget alone"),
        ({"strategy": "idf", "idf": None}, "needs idf"),
        ({"mask_rate_end": 1.5}, "mask_rate_end is 1.5"),
        ({"span_length": 0.5}, "span_length 0.5"),
        ({"mask_rate_end": 0.5, "total_steps": 0}, "total_steps is needed"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
  with pytest.raises(ValueError, match=message):
    objective(**options)

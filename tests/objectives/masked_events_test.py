import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.objectives import OBJECTIVES

PAD, MASK, UNK, CLS, SEP, SPECIAL = 0, 1, 2, 3, 4, 5
VOCAB, LENGTH = 500, 256


def objective(**options):
  values = dict(
      vocab_size=VOCAB,
      num_special=SPECIAL,
      mask_id=MASK,
      unk_id=UNK,
      max_segments=4,
      hidden=(("time_gaps", -1),),
      mask_rate=0.15,
  )
  return OBJECTIVES["masked_events"](**values | options)


def batch(rows=16):
  rng = np.random.default_rng(0)
  ids = np.ones((rows, LENGTH), np.int32)
  ids[:, 100:230] = 2
  ids[:, 230:] = 0
  tokens = rng.integers(SPECIAL, VOCAB, ids.shape)
  tokens[:, [0, 100]] = CLS
  tokens[:, 60] = UNK
  tokens[ids == 0] = PAD
  gaps = rng.integers(0, 10**6, ids.shape)
  gaps[ids == 0] = -1
  return {
      "tokens": jnp.asarray(tokens, jnp.int32),
      "segment_ids": jnp.asarray(ids),
      "positions": jnp.zeros(ids.shape, jnp.int32),
      "time_gaps": jnp.asarray(gaps, jnp.int32),
      "num_events": jnp.asarray((tokens > CLS) | (tokens == UNK), jnp.int32),
  }


def corrupted(seed=0, **options):
  data = batch()
  inputs, targets = objective(**options).corrupt(
      data, jax.random.key(seed), {}
  )
  return data, inputs, targets


@pytest.mark.slow
def test_the_budget_is_kept_and_specials_are_never_masked():
  data, _, targets = corrupted()
  valid = np.asarray(targets["weights"]) > 0
  # 99 and 129 events: 34.2 are masked in expectation.
  assert set(valid.sum(1)) == {34, 35}
  truth = np.asarray(targets["tokens"])[valid]
  assert not np.isin(truth, [PAD, MASK, CLS, SEP]).any()
  np.testing.assert_array_equal(
      np.take_along_axis(
          np.asarray(data["tokens"]), np.asarray(targets["at"]), 1
      )[valid],
      truth,
  )


def test_unchosen_positions_stay_as_they_are():
  data, inputs, targets = corrupted()
  untouched = np.ones((16, LENGTH), bool)
  for row in range(16):
    valid = np.asarray(targets["weights"])[row] > 0
    untouched[row, np.asarray(targets["at"])[row][valid]] = False
  for name in ("tokens", "time_gaps"):
    np.testing.assert_array_equal(
        np.asarray(inputs[name])[untouched], np.asarray(data[name])[untouched]
    )


def test_of_the_chosen_80_are_masked_10_random_10_kept():
  counts = np.zeros(3)
  for seed in range(20):
    data, inputs, targets = corrupted(seed)
    valid = np.asarray(targets["weights"]) > 0
    at = np.asarray(targets["at"])
    new = np.take_along_axis(np.asarray(inputs["tokens"]), at, 1)[valid]
    old = np.asarray(targets["tokens"])[valid]
    counts += [
        (new == MASK).sum(),
        ((new != MASK) & (new != old)).sum(),
        (new == old).sum(),
    ]
    assert ((new >= SPECIAL) | (new == MASK) | (new == UNK)).all()
  # 10,880 draws: three standard deviations are about 0.011
  np.testing.assert_allclose(counts / counts.sum(), [0.8, 0.1, 0.1], atol=0.012)


def test_the_gap_goes_with_the_event():
  data, inputs, targets = corrupted()
  valid = np.asarray(targets["weights"]) > 0
  at = np.asarray(targets["at"])
  take = lambda x: np.take_along_axis(np.asarray(x), at, 1)[valid]
  new, old = take(inputs["tokens"]), take(data["tokens"])
  gap, old_gap = take(inputs["time_gaps"]), take(data["time_gaps"])
  assert (gap[new == MASK] == -1).all()
  assert (gap[new == old] == old_gap[new == old]).all()
  swapped = (new != MASK) & (new != old)
  assert swapped.any() and (gap[swapped] != old_gap[swapped]).mean() > 0.9


def test_another_key_chooses_other_events():
  _, _, first = corrupted(0)
  _, _, again = corrupted(0)
  _, _, other = corrupted(1)
  np.testing.assert_array_equal(first["at"], again["at"])
  assert not np.array_equal(first["at"], other["at"])


@pytest.mark.slow
def test_every_event_is_chosen_about_equally_often():
  counts = np.zeros(LENGTH)
  corrupt = jax.jit(objective().corrupt)
  for seed in range(60):
    _, targets = corrupt(batch(), jax.random.key(seed), {})
    valid = np.asarray(targets["weights"]) > 0
    counts += np.bincount(np.asarray(targets["at"])[valid], minlength=LENGTH)
  rates = counts[1:100] / (60 * 16)  # 14 or 15 of 99, 14.85 in the mean
  assert abs(rates.mean() - 0.15) < 5e-4
  assert rates.std() < 0.02  # binomial: 0.0116


class Fixed:
  """Gives the same logits at every place; counts its calls."""

  def __init__(self):
    rng = np.random.default_rng(0)
    self.table = jnp.asarray(rng.normal(size=(VOCAB, 8)), jnp.float32)
    self.hidden = jnp.asarray(rng.normal(size=8), jnp.float32)
    self.calls = 0

  def __call__(self, batch, offsets, *, deterministic, rngs):
    assert not deterministic
    rngs.dropout()
    self.calls += 1
    return {
        "hidden": jnp.broadcast_to(self.hidden, (*offsets.shape, 8)),
        "table": self.table,
        "bias": jnp.zeros(VOCAB),
    }

  def log_p(self):
    logits = np.asarray(self.table, np.float64) @ np.asarray(self.hidden)
    return logits - np.log(np.exp(logits).sum())


@pytest.mark.slow
def test_the_loss_is_the_mean_over_targets_alone():
  model, data = Fixed(), batch(4)
  key = jax.random.key(3)
  loss, metrics, _ = objective().loss(model, data, {}, key)
  _, targets = objective().corrupt(data, jax.random.split(key)[0], {})
  valid = np.asarray(targets["weights"]) > 0
  truth = np.asarray(targets["tokens"])[valid]
  assert float(loss) == pytest.approx(-model.log_p()[truth].mean(), rel=1e-5)
  assert model.calls == 1
  assert float(metrics["mask_rate"]) == pytest.approx(valid.sum() / (4 * 228))
  assert float(metrics["padding_share"]) == pytest.approx(26 / 256)


@pytest.mark.slow
def test_confidence_is_the_running_mean_of_the_true_tokens_probability():
  """Without another softmax: the model is called once."""
  model, data, key = Fixed(), batch(4), jax.random.key(0)
  masked = objective(strategy="mtc")
  old = {"confidence": jnp.full(VOCAB, 0.5)}
  _, _, new = masked.loss(model, data, old, key)
  _, targets = masked.corrupt(data, jax.random.split(key)[0], old)
  valid = np.asarray(targets["weights"]) > 0
  seen = np.unique(np.asarray(targets["tokens"])[valid])
  want = np.full(VOCAB, 0.5)
  want[seen] = (np.exp(model.log_p()[seen]) + 0.5) / 2
  np.testing.assert_allclose(new["confidence"], want, rtol=1e-5)
  assert model.calls == 1 and 0 < len(seen) < VOCAB


def test_tokens_that_are_known_less_are_masked_more_in_the_same_budget():
  masked = objective(strategy="mtc")
  known = np.arange(VOCAB) % 2 == 0
  state = {"confidence": jnp.asarray(np.where(known, 0.9, 0.1), jnp.float32)}
  _, targets = masked.corrupt(batch(), jax.random.key(0), state)
  valid = np.asarray(targets["weights"]) > 0
  assert set(valid.sum(1)) <= {34, 35}
  share = known[np.asarray(targets["tokens"])[valid]].mean()
  # Scores 0.1 and 0.9 at the temperature 0.5: odds of exp(1.6), about 5.
  assert 0.1 < share < 0.25


def test_shares_change_what_becomes_of_the_chosen():
  _, inputs, targets = corrupted(mask_share=1.0, random_share=0.0)
  valid = np.asarray(targets["weights"]) > 0
  at = np.asarray(targets["at"])
  new = np.take_along_axis(np.asarray(inputs["tokens"]), at, 1)[valid]
  assert (new == MASK).all()


def test_shares_above_one_are_an_error():
  with pytest.raises(ValueError, match="1 together at most"):
    objective(mask_share=0.8, random_share=0.3)


def test_a_rate_outside_of_0_and_1_is_an_error():
  with pytest.raises(ValueError, match="mask_rate is 1.5"):
    objective(mask_rate=1.5)


def test_an_unknown_strategy_is_an_error():
  with pytest.raises(ValueError, match="'clever'"):
    objective(strategy="clever")

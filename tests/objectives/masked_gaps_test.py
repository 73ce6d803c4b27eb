import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.objectives import OBJECTIVES
from behavior_lm.objectives.gap_mixture import gap_nll
from behavior_lm.objectives.gap_mixture import mean_log_gap

SPECIAL, CLS, VOCAB, LENGTH = 5, 3, 12, 16
SETTINGS = dict(
    num_special=SPECIAL,
    unk_id=2,
    vocab_size=VOCAB,
    mask_id=1,
    max_segments=2,
    hidden=(("time_gaps", -1),),
    mask_rate=0.4,
)


def batch():
  rng = np.random.default_rng(0)
  tokens = rng.integers(SPECIAL, VOCAB, (3, LENGTH))
  tokens[:, 0] = CLS
  gaps = rng.integers(0, 900, tokens.shape)
  # CLS has no gap, and some events have none either.
  gaps[:, ::5] = -1
  return {
      "tokens": jnp.asarray(tokens),
      "segment_ids": jnp.ones(tokens.shape, jnp.int32),
      "time_gaps": jnp.asarray(gaps),
  }


DRAWN = np.random.default_rng(1)
MIXTURES = DRAWN.normal(1, 1, (LENGTH, 3, 5)).astype(np.float32)
HIDDEN = DRAWN.normal(size=(LENGTH, 4)).astype(np.float32)
TABLE = DRAWN.normal(size=(VOCAB, 4)).astype(np.float32)


def model(inputs, offsets, *, deterministic, rngs):
  """Predicts at a place what was drawn for the place, whatever it reads."""
  del inputs, deterministic, rngs
  return {
      "hidden": jnp.asarray(HIDDEN)[offsets],
      "table": jnp.asarray(TABLE),
      "bias": jnp.zeros(VOCAB),
      "gap_mixture": jnp.asarray(MIXTURES)[offsets],
  }


@jax.jit
def losses_of_all(data, key):
  """One program for all that is compared."""
  events = OBJECTIVES["masked_events"](**SETTINGS)
  make = lambda kind: OBJECTIVES["masked_gaps"](
      **SETTINGS, event_weight=0.5, gap_weight=2.0, gap_loss=kind
  )
  corrupt_key, _ = jax.random.split(key)
  every_nll = jax.vmap(gap_nll, (None, 0))(
      jnp.asarray(MIXTURES), jnp.maximum(data["time_gaps"], 0)
  )
  return {
      "alone": events.loss(model, data, {}, key)[0],
      "density": make("density").loss(model, data, {}, key)[:2],
      "regression": make("regression").loss(model, data, {}, key)[:2],
      "corrupt": events.corrupt(data, corrupt_key, {}),
      "nll": every_nll,
      "means": mean_log_gap(jnp.asarray(MIXTURES)),
  }


@pytest.mark.slow
def test_the_loss_is_that_of_events_and_of_the_gaps_hidden_with_them():
  data = batch()
  found = jax.tree.map(np.asarray, losses_of_all(data, jax.random.key(1)))
  inputs, targets = found["corrupt"]
  hidden = np.zeros((3, LENGTH), bool)
  for row, (places, weights) in enumerate(
      zip(targets["at"], targets["weights"], strict=True)
  ):
    hidden[row, places[weights > 0]] = True
  gaps = np.asarray(data["time_gaps"])
  assert (inputs["time_gaps"][inputs["tokens"] == 1] == -1).all()
  known = hidden & (gaps >= 0)
  assert 8 < known.sum() < hidden.sum()
  errors = (found["means"] - np.log1p(np.maximum(gaps, 0)))[known]
  for kind, want in (
      ("density", found["nll"][known].mean()),
      ("regression", (errors**2).mean() / 2),
  ):
    loss, metrics = found[kind]
    assert metrics["gap_loss"] == pytest.approx(want, rel=1e-4)
    assert metrics["event_loss"] == pytest.approx(found["alone"], rel=1e-5)
    assert loss == pytest.approx(0.5 * found["alone"] + 2 * want, rel=1e-4)
    assert metrics["log_gap_error"] == pytest.approx(
        np.abs(errors).mean(), rel=1e-4
    )


def test_the_mean_of_a_mixture_is_the_weighted_mean_of_its_centres():
  logits, centres = np.log([0.25, 0.75]), np.array([2.0, 6.0])
  mixture = jnp.asarray([logits, centres, [0.0, 1.0]])
  assert float(mean_log_gap(mixture)) == pytest.approx(5.0)


@pytest.mark.parametrize(
    "wrong", [{"gap_loss": "huber"}, {"gap_weight": 0.0}], ids=str
)
def test_a_wrong_setting_is_refused(wrong):
  with pytest.raises(ValueError, match=next(iter(wrong))):
    OBJECTIVES["masked_gaps"](**SETTINGS, **wrong)

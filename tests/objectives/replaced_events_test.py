import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.objectives.replaced_events import ReplacedEvents
from tests.objectives.windows import CLS
from tests.objectives.windows import packed
from tests.objectives.windows import PAD
from tests.objectives.windows import SPECIAL
from tests.objectives.windows import UNK

OBJECTIVE = ReplacedEvents(SPECIAL, UNK, replace_rate=0.3)
# Token 5 makes up a third of the events.
BATCH = packed([[60, 30]] * 40, 100)
BATCH["tokens"][:, 10:40] = 5
BATCH["tokens"][:, 50] = UNK

replace = jax.jit(OBJECTIVE.replace)


def test_a_share_of_the_events_is_drawn_anew_by_the_frequency_of_events():
  inputs, is_event = jax.tree.map(np.asarray, replace(BATCH, jax.random.key(0)))
  tokens, new = BATCH["tokens"], inputs["tokens"]
  np.testing.assert_array_equal(is_event, ~np.isin(tokens, (PAD, CLS)))
  changed = new != tokens
  assert not changed[~is_event].any()
  drawn = new[changed & (tokens != 5)]
  assert not np.isin(drawn, (PAD, CLS)).any()
  # 92 of 100 draws hit an event, of which 1 in 3 is token 5 and cannot be seen
  # where the event was 5 itself. 2,360 events: a deviation is about 0.009.
  others = is_event & (tokens != 5)
  assert changed[others].mean() == pytest.approx(0.3 * 0.9, abs=0.03)
  assert (drawn == 5).mean() == pytest.approx(1 / 3, abs=0.06)
  np.testing.assert_array_equal(inputs["time_gaps"], BATCH["time_gaps"])


def test_the_loss_is_the_cross_entropy_of_replaced_over_events():
  class Model:
    scores = {"replaced_events": lambda hidden: hidden}

    class encoder:

      @staticmethod
      def encode(batch, **options):
        return jnp.sin(batch["tokens"].astype(jnp.float32))[..., None]

  key = jax.random.key(0)
  loss, metrics, state = jax.jit(
      lambda batch: OBJECTIVE.loss(Model, batch, {}, key)
  )(BATCH)
  inputs, is_event = replace(BATCH, jax.random.split(key)[0])
  new = np.asarray(inputs["tokens"])
  score = np.sin(new.astype(np.float64))
  is_replaced = new != BATCH["tokens"]
  p = 1 / (1 + np.exp(-score))
  nats = -np.log(np.where(is_replaced, p, 1 - p))[np.asarray(is_event)]
  assert float(loss) == pytest.approx(nats.mean(), rel=1e-5)
  hits = ((score > 0) == is_replaced)[np.asarray(is_event)]
  assert float(metrics["accuracy"]) == pytest.approx(hits.mean(), rel=1e-5)
  assert state == {}


def test_a_rate_that_is_no_share_is_refused():
  with pytest.raises(ValueError, match="replace_rate is 1.0"):
    ReplacedEvents(SPECIAL, UNK, replace_rate=1.0)

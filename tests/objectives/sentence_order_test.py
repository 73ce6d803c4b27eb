import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.objectives.sentence_order import SentenceOrder
from tests.objectives.windows import LENGTH
from tests.objectives.windows import NO_GAP
from tests.objectives.windows import packed
from tests.objectives.windows import pieces
from tests.objectives.windows import SIZES

OBJECTIVE = SentenceOrder(NO_GAP, max_segments=5)


def cut_of(sessions):
  """The place where the session nearest to the middle begins; None if none.

  `sessions` has that of CLS in front.
  """
  events = len(sessions) - 1
  starts = [
      at for at in range(2, events + 1) if sessions[at] != sessions[at - 1]
  ]
  far = lambda at: (abs(2 * at - events - 1), at)
  return min(starts, key=far, default=None)


swap = jax.jit(OBJECTIVE.swap)


@pytest.mark.parametrize("seed", range(3))
def test_halves_of_packed_windows_change_places_where_a_session_begins(seed):
  batch = packed(SIZES, LENGTH, seed)
  swapped = np.random.default_rng(seed).random((3, 5)) < 0.5
  inputs, valid = jax.tree.map(np.asarray, swap(batch, swapped))
  for row, sizes in enumerate(SIZES):
    for place in range(len(sizes)):
      here = batch["segment_ids"][row] == place + 1
      at = cut_of(batch["sessions"][row][here])
      assert valid[row, place] == (at is not None)
      tokens, gaps = pieces(batch, row, place + 1)
      if at is not None:
        for edge in (1, at - 1, at, len(gaps) - 1):
          gaps[edge] = NO_GAP
        if swapped[row, place]:
          turn = lambda x, at=at: [x[0], *x[at:], *x[1:at]]
          tokens, gaps = turn(tokens), turn(gaps)
        assert pieces(inputs, row, place + 1) == [tokens, gaps]
      else:
        assert pieces(inputs, row, place + 1)[0] == tokens
  for name in ("segment_ids", "positions"):
    np.testing.assert_array_equal(inputs[name], batch[name])


@pytest.mark.slow
def test_the_loss_is_the_cross_entropy_of_swapped_over_windows_with_halves():
  batch = packed(SIZES, LENGTH)
  bias = 0.7

  class Model:
    scores = {"sentence_order": lambda pooled: jnp.full((3, 5, 1), bias)}

    class encoder:

      @staticmethod
      def encode(batch, **options):
        return jnp.ones((*batch["tokens"].shape, 2))

  key = jax.random.key(0)
  loss, metrics, state = jax.jit(
      lambda batch: OBJECTIVE.loss(Model, batch, {}, key)
  )(batch)
  swapped = np.asarray(
      jax.random.bernoulli(jax.random.split(key)[0], shape=(3, 5))
  )
  _, valid = swap(batch, swapped)
  share = swapped[np.asarray(valid)].mean()
  assert 0 < share < 1 and float(metrics["windows"]) == valid.sum()
  p = 1 / (1 + np.exp(-bias))
  want = -share * np.log(p) - (1 - share) * np.log(1 - p)
  assert float(loss) == pytest.approx(want, rel=1e-5)
  assert float(metrics["accuracy"]) == pytest.approx(share)
  assert state == {}

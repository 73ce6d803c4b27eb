import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.objectives.contrastive import Contrastive
from behavior_lm.objectives.contrastive import pair_loss
from tests.objectives.windows import CLS
from tests.objectives.windows import LENGTH
from tests.objectives.windows import NO_GAP
from tests.objectives.windows import packed
from tests.objectives.windows import pieces
from tests.objectives.windows import SIZES

OBJECTIVE = Contrastive(CLS, NO_GAP, max_segments=6)
BATCH = packed(SIZES, LENGTH)


class Encoder:
  """A state is the vector of its token, whatever the place."""

  def encode(self, batch, **options):
    del options
    table = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    return jnp.asarray(table)[batch["tokens"]]


class Model:
  encoder = Encoder()


@jax.jit
def run(shares):
  cut, valid = OBJECTIVE.cut(BATCH, shares)
  return cut, valid, OBJECTIVE.vectors(Model(), cut)


@pytest.mark.slow
def test_a_packed_window_is_cut_in_two_as_it_is_alone():
  shares = np.random.default_rng(1).random((3, 3)).astype(np.float32)
  cut, valid, vectors = jax.tree.map(np.asarray, run(shares))
  used = set()
  for row, sizes in enumerate(SIZES):
    for place, events in enumerate(sizes[:3]):
      assert valid[row, place] == (events >= 3)
      if events < 3:
        continue
      tokens, gaps = pieces(BATCH, row, place + 1)
      at = 2 + int(shares[row, place] * (events - 2))
      first = tokens[:at], gaps[:at]
      # CLS takes the place of the event at the cut.
      second = [CLS, *tokens[at + 1 :]], [NO_GAP, *gaps[at + 1 :]]
      for half, want in enumerate((first, second)):
        number = 2 * place + 1 + half
        used.add((row, number))
        assert tuple(pieces(cut, row, number)) == want
        assert len(want[0]) >= 2
        # The mean of the states without CLS, of length 1.
        mean = np.asarray(Encoder().encode({"tokens": jnp.asarray(want[0])}))
        mean = mean[1:].mean(0)
        np.testing.assert_allclose(
            vectors[row, place, half], mean / np.linalg.norm(mean), atol=1e-5
        )
  here = cut["segment_ids"] > 0
  rows = np.nonzero(here)[0]
  assert set(zip(rows.tolist(), cut["segment_ids"][here], strict=True)) == used


def test_the_loss_is_the_cross_entropy_among_parts_of_other_users():
  rng = np.random.default_rng(0)
  first, second = rng.normal(size=(2, 5, 3)).astype(np.float32)
  users = np.array([0, 1, 0, 2, 1])
  valid = np.array([True, True, True, False, True])
  loss, hits = jax.jit(pair_loss)(first, second, valid, users, 0.5)
  nats, right = [], []
  for one, other in ((first, second), (second, first)):
    for i in np.flatnonzero(valid):
      rivals = [j for j in np.flatnonzero(valid) if users[j] != users[i]]
      scores = np.array([one[i] @ other[j] / 0.5 for j in (i, *rivals)])
      nats.append(np.log(np.exp(scores).sum()) - scores[0])
      right.append(scores[0] == scores.max())
  assert float(loss) == pytest.approx(np.mean(nats), rel=1e-5)
  assert float(hits) == pytest.approx(np.mean(right))


@pytest.mark.slow
def test_parts_of_one_window_are_pulled_together():
  """The gradient is finite where nothing was cut, and learns the pairs."""
  data = BATCH | {"segment_user": np.arange(18, dtype=np.int32).reshape(3, 6)}

  @jax.jit
  def loss(table):
    class Learned:
      class encoder:

        @staticmethod
        def encode(batch, **options):
          return table[batch["tokens"]]

    return OBJECTIVE.loss(Learned, data, {}, jax.random.key(0))[0]

  gradient = jax.jit(jax.value_and_grad(loss))
  table = jax.random.normal(jax.random.key(1), (40, 8))
  before, slope = gradient(table)
  assert np.isfinite(slope).all()
  assert gradient(table - slope)[0] < before


@pytest.mark.parametrize(
    "wrong", [{"temperature": 0.0}, {"max_segments": 1}], ids=str
)
def test_a_wrong_setting_is_refused(wrong):
  with pytest.raises(ValueError, match=next(iter(wrong))):
    Contrastive(CLS, NO_GAP, **{"max_segments": 4, **wrong})

import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.evaluation.next_purchase import fit_probe
from behavior_lm.evaluation.next_purchase import fuse
from behavior_lm.evaluation.next_purchase import NextPurchase
from tests.shop import shop_subject

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def measure(shop_path):
  return NextPurchase(
      shop_subject(shop_path), split="train", least_events=2
  )


def test_a_purchase_is_read_from_strictly_before_it(measure):
  found = measure.found
  histories = found.histories
  buys = histories.extras["action"] == measure.subject.vocabulary.action_codes(
      ["buy"]
  )
  for user, before, category in zip(
      found.user, found.before, found.category, strict=True
  ):
    first, end = histories.offsets[user : user + 2]
    times = histories.times[first:end]
    here = np.flatnonzero(
        buys[first:end]
        & (histories.extras["category"][first:end] == category)
    )
    assert any((times < times[at]).sum() == before for at in here)
  assert len(found.user) > 10
  assert np.bincount(found.user).max() <= 3


def test_the_auc_is_the_share_of_categories_that_score_lower(measure):
  number, size = len(measure.found.user), len(measure.candidates)
  scores = RNG.integers(0, 4, (number, size)).astype(float)
  got = measure.rank(scores)
  for row, category in enumerate(measure.found.category):
    [own] = np.flatnonzero(measure.candidates == category)
    others = np.delete(scores[row], own)
    auc = (others < scores[row, own]).mean()
    auc += (others == scores[row, own]).mean() / 2
    np.testing.assert_allclose(got.auc[row], auc)
  assert set(got.summary()) == {"auc", "hr@10"}


def test_the_histogram_of_a_user_beats_popularity(measure):
  found, _ = measure.baselines()
  auc = {name: one.summary()["auc"] for name, one in found.items()}
  assert auc["category histogram"] > auc["popularity"] + 0.05
  assert auc["category histogram"] > 0.7


@pytest.mark.slow
@pytest.mark.parametrize("fusion", ["gate", "join", "mean"])
def test_a_probe_finds_what_a_vector_holds(fusion):
  table = np.linalg.qr(RNG.normal(size=(6, 6)))[0]
  target = RNG.integers(0, 6, 40)
  turned = table[target] @ np.linalg.qr(RNG.normal(size=(6, 6)))[0]
  nothing = np.zeros_like(turned)
  vectors = {"long": nothing, "short": nothing, "mean": nothing}
  vectors["mean" if fusion == "mean" else "long"] = turned
  probe = fit_probe(vectors, target, table, fusion, steps=300, seed=0)
  scores = np.asarray(fuse(probe, vectors, fusion)) @ table.T
  assert (scores.argmax(1) == target).mean() > 0.9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fusion": "luck"}, "fusion is 'luck'"),
        ({"action": "rent"}, "'rent' must be an event id"),
        ({"least_events": 10_000}, "after 10000 events"),
    ],
)
def test_a_wrong_setting_is_refused(shop_path, change, message):
  with pytest.raises(UserError, match=message):
    NextPurchase(shop_subject(shop_path), split="train", **change)

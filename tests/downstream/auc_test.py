"""AUC estimates against scikit-learn, brute force and simulation."""

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from behavior_lm.downstream.auc import auc_difference
from behavior_lm.downstream.auc import cross_validated_auc


def one_fold(size):
  return np.zeros(size, np.int64)


def sample(rng, size=150, shift=1.0, ties=False):
  labels = np.arange(size) % 3 == 0
  scores = rng.normal(0, 1, size) + shift * labels
  return labels.astype(int), np.round(scores) if ties else scores


@given(st.integers(0, 2**31), st.booleans())
def test_one_fold_equals_scikit_learn(seed, ties):
  labels, scores = sample(np.random.default_rng(seed), ties=ties)
  got = cross_validated_auc(labels, scores, one_fold(labels.size))
  assert got.value == pytest.approx(roc_auc_score(labels, scores))


@pytest.mark.slow
@given(st.integers(0, 2**31))
def test_folds_and_repetitions_are_averaged(seed):
  rng = np.random.default_rng(seed)
  labels, _ = sample(rng)
  scores = rng.normal(size=(3, labels.size))
  folds = np.stack([rng.permutation(labels.size) % 4 for _ in range(3)])
  parts = [
      roc_auc_score(labels[f == fold], s[f == fold])
      for s, f in zip(scores, folds, strict=True)
      for fold in range(4)
  ]
  got = cross_validated_auc(labels, scores, folds)
  assert got.value == pytest.approx(np.mean(parts))


def test_scales_of_different_folds_do_not_mix():
  labels = np.array([0, 1, 0, 1])
  folds = np.array([0, 0, 1, 1])
  got = cross_validated_auc(labels, np.array([0.1, 0.2, 0.8, 0.9]), folds)
  assert got.value == 1.0


@given(st.integers(0, 2**31), st.booleans())
def test_the_influence_is_that_of_delong(seed, ties):
  labels, scores = sample(np.random.default_rng(seed), size=40, ties=ties)
  got = cross_validated_auc(labels, scores, one_fold(40))
  positive, negative = scores[labels == 1], scores[labels == 0]
  wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
  variance = (
      wins.mean(axis=1).var() / len(positive)
      + wins.mean(axis=0).var() / len(negative)
  )
  assert np.mean(got.influence**2) / 40 == pytest.approx(variance)
  assert got.influence.sum() == pytest.approx(0, abs=1e-9)


@pytest.mark.slow
def test_intervals_cover_the_truth_about_as_often_as_they_say():
  # For normal scores one apart the AUC is Phi(1 / sqrt 2).
  rng = np.random.default_rng(0)
  folds = np.arange(150) // 3 % 5
  hits, rounds = 0, 600
  for _ in range(rounds):
    labels, scores = sample(rng)
    got = cross_validated_auc(labels, scores, folds)
    hits += got.low <= 0.76025 <= got.high
  assert 0.92 <= hits / rounds <= 0.98


@pytest.mark.slow
def test_p_values_of_equally_good_scores_are_about_uniform():
  rng = np.random.default_rng(1)
  ps = []
  for _ in range(400):
    labels, first = sample(rng)
    # Correlated with the first, and as good.
    second = np.where(rng.random(150) < 0.5, first, sample(rng)[1])
    fold = one_fold(150)
    ps.append(
        auc_difference(
            cross_validated_auc(labels, first, fold),
            cross_validated_auc(labels, second, fold),
        ).p
    )
  for level in (0.05, 0.2, 0.5):
    deviation = (level * (1 - level) / 400) ** 0.5
    assert abs(np.mean(np.array(ps) <= level) - level) < 4 * deviation


def test_a_better_score_is_found_and_mirrored():
  rng = np.random.default_rng(2)
  labels, scores = sample(rng, size=400)
  worse = scores + rng.normal(0, 2, 400)
  fold = one_fold(400)
  one = cross_validated_auc(labels, scores, fold)
  two = cross_validated_auc(labels, worse, fold)
  got, mirrored = auc_difference(one, two), auc_difference(two, one)
  assert 0 < got.low < got.value < got.high
  assert got.p < 0.01
  assert (mirrored.value, mirrored.p) == (-got.value, got.p)
  assert mirrored.low == pytest.approx(-got.high)
  same = auc_difference(one, one)
  assert (same.value, same.low, same.high, same.p) == (0, 0, 0, 1)


def test_intervals_stay_inside_the_unit_interval():
  labels = np.array([0] * 10 + [1] * 10)
  scores = np.arange(20.0)
  scores[[9, 10]] = scores[[10, 9]]
  got = cross_validated_auc(labels, scores, one_fold(20))
  assert 0.5 < got.low < got.value < got.high < 1
  perfect = cross_validated_auc(labels, np.arange(20.0), one_fold(20))
  assert (perfect.low, perfect.value, perfect.high) == (1, 1, 1)


@pytest.mark.parametrize(
    "labels, scores, folds, message",
    [
        ([0, 0, 1], [1, 2, 3], [0, 0, 1], "AUC needs both"),
        ([0, 2], [1, 2], [0, 0], "0 or 1"),
        ([0, 1], [1, np.nan], [0, 0], "finite"),
        ([0, 1], [1, 2, 3], [0, 0, 0], "do not fit"),
    ],
)
def test_bad_input_is_named(labels, scores, folds, message):
  with pytest.raises(ValueError, match=message):
    cross_validated_auc(
        np.array(labels), np.array(scores, float), np.array(folds)
    )


def test_different_users_cannot_be_paired():
  a = cross_validated_auc(np.array([0, 1]), np.array([1.0, 2]), one_fold(2))
  b = cross_validated_auc(
      np.array([0, 1, 1]), np.array([1.0, 2, 3]), one_fold(3)
  )
  with pytest.raises(ValueError, match="cannot be paired"):
    auc_difference(a, b)

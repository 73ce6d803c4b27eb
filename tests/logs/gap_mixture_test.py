import json
import math

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.logs import gap_mixture
from behavior_lm.logs.gap_mixture import fit_mixture
from behavior_lm.logs.gap_mixture import Mixture

SECOND = 1_000_000


def world(seed, share, medians, stds, size=30_000, tick=SECOND):
  """Gaps of a two-component world, and where its components cross."""
  rng = np.random.default_rng(seed)
  kind = (rng.random(size) < share).astype(int)
  logs = rng.normal(np.log(medians)[kind], np.array(stds)[kind])
  gaps = np.round(np.exp(logs) * SECOND / tick).astype(np.int64) * tick
  x = np.linspace(math.log(medians[0]), math.log(medians[1]) + 3, 200_001)
  parts = [
      weight / std * np.exp(-(((x - math.log(median)) / std) ** 2) / 2)
      for weight, median, std in zip(
          (1 - share, share), medians, stds, strict=True
      )
  ]
  return gaps, math.exp(x[np.argmax(parts[1] > parts[0])])


WORLDS = [
    (0.01, (5, 28_800), (1.0, 0.8)),
    (0.05, (3, 600), (1.0, 1.0)),
    (0.3, (2, 3_600), (0.8, 1.2)),
    (0.02, (8, 7_200), (1.2, 0.5)),
]


@pytest.mark.parametrize("tick", [1, 1_000, SECOND])
@pytest.mark.parametrize("truth", WORLDS)
def test_the_threshold_of_a_known_world_is_recovered(truth, tick):
  gaps, threshold = world(0, *truth, tick=tick)
  found = fit_mixture(gaps)
  # Within a quarter; the medians are 200 to 5,760 times apart.
  assert found.threshold_seconds == pytest.approx(threshold, rel=0.25)
  assert found.tick_seconds * SECOND == tick
  share, medians, stds = truth
  assert found.weights[1] == pytest.approx(share, rel=0.2)
  assert found.medians[1] == pytest.approx(medians[1], rel=0.15)
  assert found.stds == pytest.approx(stds, rel=0.25)


def test_the_length_weight_leaves_a_true_threshold_where_it_is():
  gaps, threshold = world(1, *WORLDS[0], size=100_000, tick=1_000)
  for weight in (0.0, 0.25, 0.5):
    found = fit_mixture(gaps, length_weight=weight).threshold_seconds
    assert found == pytest.approx(threshold, rel=0.1)


def test_counting_heads_misses_rare_breaks_that_the_weight_finds():
  # Short gaps that are not log-normal take both components when each counts
  # as one: 3 in 10,000 are nights.
  rng = np.random.default_rng(0)
  short = np.exp(rng.normal(1, 0.5, 70_000))
  reading = np.exp(rng.normal(2.5, 1.2, 30_000))
  night = np.exp(rng.normal(math.log(36_000), 0.3, 30))
  gaps = (np.concatenate([short, reading, night]) * SECOND).astype(np.int64)
  assert fit_mixture(gaps, length_weight=0).threshold_seconds < 30
  assert fit_mixture(gaps, length_weight=1).threshold_seconds > 1_000


def test_ties_change_nothing():
  gaps, _ = world(2, *WORLDS[1])
  with_ties = np.concatenate([gaps, np.zeros(50_000, np.int64)])
  assert fit_mixture(with_ties) == fit_mixture(gaps)


@pytest.mark.slow
@given(st.integers(0, 3), st.randoms(use_true_random=False))
def test_a_histogram_gives_what_the_gaps_give(seed, random):
  gaps, _ = world(seed, *WORLDS[1], size=3_000)
  values, counts = np.unique(gaps, return_counts=True)
  order = list(range(len(values)))
  random.shuffle(order)
  # Values may come twice and with a count of 0.
  values = np.concatenate([values[order], values[:3]])
  counts = np.concatenate([counts[order], np.zeros(3, np.int64)])
  one, other = fit_mixture(gaps), fit_mixture(values, counts)
  assert one.num_gaps == other.num_gaps
  assert other.threshold_seconds == pytest.approx(
      one.threshold_seconds, rel=1e-9
  )


def test_a_gap_over_the_threshold_is_more_likely_long():
  found = fit_mixture(world(0, *WORLDS[0])[0])
  place = math.log(found.threshold_seconds)
  around = np.array([place - 0.01, place, place + 0.01])
  short, long = found.densities(around)
  assert short[0] > long[0] and short[2] < long[2]
  assert short[1] == pytest.approx(long[1])
  grid = np.linspace(-20, 40, 100_001)
  assert np.trapezoid(found.densities(grid).sum(0), grid) == pytest.approx(1)


def test_the_likelihood_is_that_of_the_world():
  truth = WORLDS[1]
  gaps, _ = world(0, *truth, tick=1)
  found = fit_mixture(gaps)
  logs = np.log(gaps / SECOND)
  mean = np.log(found.densities(logs).sum(0)).mean()
  assert found.log_likelihood == pytest.approx(mean, abs=0.01)


@pytest.mark.parametrize("std", [0.5, 1.0])
@pytest.mark.parametrize("tick", [1, SECOND])
def test_one_kind_of_gaps_has_no_threshold(std, tick):
  rng = np.random.default_rng(0)
  gaps = np.exp(rng.normal(math.log(20), std, 20_000)) * SECOND
  gaps = np.round(gaps / tick).astype(np.int64) * tick
  with pytest.raises(UserError, match="one kind of pause.*fixed threshold"):
    fit_mixture(gaps)


@pytest.mark.parametrize(
    ("gaps", "message"),
    [
        ([], "only 0 gaps"),
        ([0] * 10_000, "only 0 gaps"),
        ([SECOND, 100 * SECOND] * 50, "only 100 gaps"),
        ([7 * SECOND] * 10_000, "take 1 different lengths"),
        ([SECOND, 60 * SECOND] * 5_000, "take 2 different lengths"),
    ],
)
def test_gaps_that_say_nothing_are_an_error(gaps, message):
  with pytest.raises(UserError, match=f"{message}.*fixed threshold"):
    fit_mixture(np.array(gaps, np.int64))


@pytest.mark.parametrize(
    ("tick", "gaps"),
    [
        (1, [1, 7, 1_000_003] * 10),
        (1_000, [1_000, 7_000, 10**9] * 10),
        (SECOND, [SECOND, 7 * SECOND] * 100 + [123]),
        (60 * SECOND, [60 * SECOND, 600 * SECOND]),
        (86_400 * SECOND, [86_400 * SECOND, 5 * 86_400 * SECOND]),
    ],
)
def test_the_clocks_tick_is_found(tick, gaps):
  gaps = np.array(gaps, np.int64)
  assert gap_mixture.clock_tick(gaps, np.ones(len(gaps))) == tick


@given(
    st.floats(0.05, 0.95),
    st.floats(0.3, 2),
    st.floats(0.3, 2),
    st.floats(1, 12),
)
def test_the_crossing_is_where_the_components_are_equal(
    share, narrow, wide, apart
):
  fit = gap_mixture._Fit(
      np.array([1 - share, share]),
      np.array([1.0, 1.0 + apart]),
      np.array([narrow, wide]),
  )
  x = gap_mixture._crossing(fit)

  def odds(x):
    parts = (
        np.log(fit.weights / fit.stds) - ((x - fit.means) / fit.stds) ** 2 / 2
    )
    return parts[0] - parts[1]

  if x is None:
    grid = [odds(value) for value in np.linspace(-50, 60, 5_000)]
    # Nowhere do they cross from short to long.
    assert min(grid) > -1e-6 or max(grid) < 1e-6
    return
  assert odds(x) == pytest.approx(0, abs=1e-6)
  assert odds(x - 1e-3) >= odds(x + 1e-3)


def test_moments_are_those_of_the_truncated_normal():
  fit = gap_mixture._Fit(np.ones(1), np.array([2.0]), np.array([0.7]))
  edges = np.array([-4.0, 0.0, 1.0, 2.5, 3.0, 9.0])
  mass, first, second = gap_mixture._moments(edges[:-1], edges[1:], fit)
  for place, (low, high) in enumerate(
      zip(edges[:-1], edges[1:], strict=True)
  ):
    x = np.linspace(low, high, 200_001)
    density = np.exp(-(((x - 2) / 0.7) ** 2) / 2) / 0.7 / np.sqrt(2 * np.pi)
    total = np.trapezoid(density, x)
    assert mass[place, 0] == pytest.approx(total, rel=1e-5)
    for got, power in ((first, 1), (second, 2)):
      want = np.trapezoid(density * (x - 2) ** power, x) / total
      assert got[place, 0] == pytest.approx(want, rel=1e-4, abs=1e-6)


def test_a_mixture_survives_json():
  found = fit_mixture(world(0, *WORLDS[0])[0])
  again = Mixture.from_json(json.loads(json.dumps(found.to_json())))
  assert again == found


@pytest.mark.slow
@pytest.mark.realdata
def test_a_real_servers_gaps_have_a_stable_threshold(data_root):
  path = data_root / "justice" / "map_204.parquet"
  gaps = (
      pl.scan_parquet(path)
      .select("user_id", pl.col("timestamp").dt.timestamp("us"))
      .sort("user_id", "timestamp")
      .select(pl.col("timestamp").diff().over("user_id"))
      .drop_nulls()
      .collect()
      .to_series()
      .to_numpy()
  )
  found = fit_mixture(gaps)
  assert found.tick_seconds == 1 and found.num_gaps == 1_850_902
  assert 20 < found.threshold_seconds < 45
  # A tenth of the gaps gives the same, and so does counting time.
  part = fit_mixture(gaps[::10])
  by_time = fit_mixture(gaps, length_weight=1)
  for other in (part, by_time):
    assert other.threshold_seconds == pytest.approx(
        found.threshold_seconds, rel=0.2
    )

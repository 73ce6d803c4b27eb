import numpy as np
import pytest

from behavior_lm.reporting.projection import project


def clouds(num_points=90, dim=70):
  rng = np.random.default_rng(0)
  kinds = np.arange(num_points) % 3
  centres = rng.normal(size=(3, dim)) * 10
  return kinds, centres[kinds] + rng.normal(size=(num_points, dim))


def test_clouds_stay_apart_on_the_map():
  kinds, vectors = clouds()
  result = project(vectors)
  assert result.points.shape == (90, 2)
  assert result.components == 50
  assert 0.9 < result.kept <= 1
  distance = np.linalg.norm(
      result.points[:, None] - result.points[None], axis=-1
  )
  np.fill_diagonal(distance, np.inf)
  assert (kinds[distance.argmin(axis=1)] == kinds).all()


def test_the_same_vectors_give_the_same_map():
  _, vectors = clouds(40, 8)
  np.testing.assert_array_equal(
      project(vectors).points, project(vectors.copy()).points
  )


def test_the_size_of_the_numbers_does_not_matter():
  kinds, vectors = clouds()
  small = project(vectors * 1e-6).points
  centres = np.stack([small[kinds == kind].mean(axis=0) for kind in range(3)])
  spread = max(small[kinds == kind].std() for kind in range(3))
  assert np.linalg.norm(centres[0] - centres[1]) > 2 * spread


@pytest.mark.parametrize("num_points", [0, 1, 4])
def test_too_few_points_are_no_map(num_points):
  assert project(np.eye(5)[:num_points]) is None


def test_points_that_are_all_equal_are_no_map():
  assert project(np.ones((50, 8))) is None


def test_five_points_of_one_number_are_a_map():
  points = project(np.arange(5.0)[:, None]).points
  assert points.shape == (5, 2)
  assert np.isfinite(points).all()

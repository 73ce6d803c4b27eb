"""A request reads the vector of the last day that was over."""

import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.features.user_vectors import UserVectors

HOUR = 3_600_000_000
DAY = 24 * HOUR


def table(starts: list[int | None]) -> pl.DataFrame:
  return pl.DataFrame({
      "user_id": ["a"] * len(starts),
      "start": pl.Series(starts, dtype=pl.Int64).cast(
          pl.Datetime("us", "UTC")
      ),
      "embedding": [[float(n), 2.0] for n in range(len(starts))],
  })


def test_a_day_counts_when_it_is_over():
  vectors = UserVectors.of(table([5 * HOUR, DAY + HOUR, 3 * DAY]), "here")
  times = np.array([DAY - 1, DAY, 2 * DAY - 1, 2 * DAY, 9 * DAY])
  got = vectors.before(["a"] * 5, times)
  want = [[0, 0], [0, 1], [0, 1], [0.4472, 0.8944], [0.7071, 0.7071]]
  np.testing.assert_allclose(got, want, atol=1e-4)
  assert not vectors.before(["b"], np.array([9 * DAY])).any()


def test_vectors_of_a_whole_log_are_refused():
  with pytest.raises(UserError, match="know what comes after a request"):
    UserVectors.of(table([None]), "here")


def test_another_file_is_named(tmp_path):
  file = tmp_path / "no.parquet"
  with pytest.raises(UserError, match=r"no.parquet: is no table of vectors"):
    UserVectors.read(file)

import jax
import numpy as np
import pytest

from experiments.studies.lsh.lsh_recall import draw_vectors
from experiments.studies.lsh.lsh_recall import Setting
from experiments.studies.lsh.lsh_recall import study
from experiments.studies.lsh.lsh_recall import VECTORS

SMALL = Setting(
    length=256, num_heads=1, chunk_size=16, clusters=16, top_k=4, rounds=4
)


@pytest.mark.slow
def test_more_rounds_and_closer_vectors_find_more_than_chance():
  rows = study([0, 1], [1, 4], SMALL)
  found = {(row["vectors"], row["rounds"]): row for row in rows}
  assert len(found) == len(rows) == 2 * len(VECTORS)
  tight, loose, random = VECTORS
  for name in VECTORS:
    once, often = found[name, 1], found[name, 4]
    assert once["low"] <= once["recall"] <= once["high"] < often["low"]
    # A chunk and the one before it, of 16; then what is new in each round.
    assert once["keys_seen"] == pytest.approx(0.122, abs=0.01)
    assert 0.3 < often["keys_seen"] < 0.45
    assert once["low"] > once["keys_seen"]
  by_kind = [found[name, 1]["recall"] for name in (tight, loose, random)]
  assert by_kind == sorted(by_kind, reverse=True)


@pytest.mark.slow
def test_the_cosine_within_a_cluster_is_as_named():
  setting = Setting(length=512, num_heads=1, clusters=2)
  for name, noise in VECTORS.items():
    if noise is not None:
      x = np.asarray(draw_vectors(jax.random.key(0), noise, setting))[0, :, 0]
      x = x / np.linalg.norm(x, axis=-1, keepdims=True)
      cosines = x @ x.T
      same = cosines[0] > 0.5
      mean = np.mean(cosines[0][same][1:])
      assert mean == pytest.approx(float(name.split()[-1]), abs=0.04)


@pytest.mark.parametrize(("seeds", "rounds"), [([], [1]), ([0], [0, 9])])
def test_nothing_to_measure_is_an_error(seeds, rounds):
  with pytest.raises(ValueError, match="at least one seed"):
    study(seeds, rounds, SMALL)

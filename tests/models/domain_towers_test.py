from flax import nnx
import jax
import numpy as np
import pytest

from behavior_lm.models.domain_towers import DomainConfig
from behavior_lm.models.domain_towers import DomainTowers
from behavior_lm.models.domain_towers import STRUCTURES
from behavior_lm.objectives.labels import BINARY
from behavior_lm.objectives.labels import Labels
from behavior_lm.objectives.labels import Target

SIZES = dict(
    num_ids=10, num_columns=2, num_dense=3, num_domains=2, vector_dim=6,
    embed_dim=4, vector_width=5, hidden=(7,), tower=(4,), dropout_rate=0.0,
)  # fmt: skip
DOMAINS = np.array([0, 0, 1, -1], np.int32)


@pytest.fixture(scope="module")
def batch():
  rng = np.random.default_rng(0)
  real = lambda *shape: rng.normal(size=shape).astype(np.float32)
  return {
      "ids": rng.integers(10, size=(4, 2)).astype(np.int32),
      "dense": real(4, 3),
      "vector": real(4, 6),
      "domain": DOMAINS,
      "labels": np.array([[1], [0], [1], [0]], np.float32).repeat(2, 1),
      "weights": np.ones(4, np.float32),
  }


def make(**changes):
  config = DomainConfig(**(SIZES | changes))
  return nnx.split(DomainTowers(config, rngs=nnx.Rngs(0)))


def outputs(batch, **changes):
  graph, state = make(**changes)
  return jax.jit(lambda s, b: nnx.merge(graph, s)(b))(state, batch)


@pytest.mark.slow
@pytest.mark.parametrize("structure", STRUCTURES)
def test_a_row_trains_the_tower_of_its_domain(batch, structure):
  graph, state = make(structure=structure)
  targets = (Target("liked", BINARY), Target("general", BINARY, weight=0.0))

  @jax.jit
  def gradient(state, weights):
    def loss(state):
      known = batch | {"weights": weights}
      model = nnx.merge(graph, state)
      return Labels(targets).loss(model, known, {}, jax.random.key(0))[0]

    return jax.grad(loss)(state)

  for row, tower in enumerate([0, 0, 1, 2]):
    weights = np.zeros(4, np.float32)
    weights[row] = 1
    found = np.asarray(gradient(state, weights)["out"][...])[..., 0]
    trained = np.flatnonzero(np.abs(found).sum(1))
    # One tower for all, or the row's own; the last one is the general tower.
    assert trained.tolist() == ([0] if structure == "single" else [tower])


@pytest.mark.slow
def test_a_domain_that_was_never_seen_gets_the_general_tower(batch):
  found = np.asarray(outputs(batch))
  assert found.shape == (4, 2)
  assert found[3, 0] == found[3, 1]
  assert (found[:3, 0] != found[:3, 1]).all()
  alone = np.asarray(outputs(batch, general_tower=False))
  assert alone.shape == (4, 1)
  # Without one, the mean over the towers of all domains.
  towers = [
      outputs(batch | {"domain": np.full(4, n, np.int32)}, general_tower=False)
      for n in (0, 1)
  ]
  np.testing.assert_allclose(alone[3], np.mean(towers, 0)[3], atol=1e-6)


@pytest.mark.slow
def test_the_vector_joins_the_gates_where_it_is_said(batch):
  sizes = {
      name: make(structure="mmoe", gate_input=name)[1]["experts"]["gates"][
          "kernel"
      ].shape[1]
      for name in ("language", "features")
  }
  assert sizes["language"] - sizes["features"] == SIZES["vector_width"]
  without = make(vector_dim=0)[1]
  assert "project" not in without
  assert "vector" not in DomainConfig(**(SIZES | {"vector_dim": 0})).fields


@pytest.mark.parametrize("changes, words", [
    (dict(structure="tree"), "single, separate, mmoe, cgc, ple"),
    (dict(gate_input="user"), "features, language"),
    (dict(hidden=()), "widths of at least 1"),
    (dict(tower=(0,)), "widths of at least 1"),
])
def test_a_setting_that_makes_no_sense_is_refused(changes, words):
  with pytest.raises(ValueError, match=words):
    DomainConfig(**(SIZES | changes))

"""The ranker and its encoders of actions."""

import functools

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.models.histories import HISTORIES
from behavior_lm.models.ranker import count_features
from behavior_lm.models.ranker import Ranker
from behavior_lm.models.ranker import RankerInputs

INPUTS = RankerInputs(
    num_ids=20,
    num_columns=2,
    candidate=1,
    zero_ids=(1, 2),
    unknown_ids=(2, 2),
    bags=("bag/tags",),
    dense_width=3,
    num_actions=5,
    num_types=4,
)
OPTIONS = {
    "transact": dict(num_layers=1, num_first=2, mlp_dim=8),
    "bst": dict(mlp_dim=8),
    "din": dict(hidden_dim=4),
    "gru": dict(hidden_dim=4),
    "cnn": dict(hidden_dim=4),
}


def batch(rows: int = 4) -> dict[str, np.ndarray]:
  rng = np.random.default_rng(0)
  ages = np.sort(rng.uniform(1, 1e5, (rows, 5)), 1).astype(np.float32)
  types = rng.integers(1, 4, (rows, 5)).astype(np.int32)
  # Full, three, one and no action.
  there = np.arange(5) < np.array([5, 3, 1, 0])[:rows, None]
  return {
      "ids": rng.integers(3, 20, (rows, 2)).astype(np.int32),
      "dense": rng.normal(size=(rows, 3)).astype(np.float32),
      "bag/tags": np.array([[5, 6], [7, 0], [3, 0], [4, 9]], "int32")[:rows],
      "action_types": np.where(there, types, 0),
      "action_items": np.where(there, types + 8, 0),
      "action_ages": np.where(there, ages, 0),
      "action_counts": rng.integers(0, 9, (rows, 4)).astype(np.float32),
  }


@functools.cache
def model(history: str, **changes) -> Ranker:
  options = dict(OPTIONS.get(history, {})) | changes
  return Ranker(
      INPUTS,
      2,
      embed_dim=4,
      mlp_dims=(4,),
      cross_layers=1,
      history=history,
      history_options=options,
      init_scale=1.0,
      rngs=nnx.Rngs(0),
  )


@pytest.mark.parametrize("history", sorted(HISTORIES))
def test_padding_changes_nothing_and_no_action_is_finite(history):
  run = jax.jit(lambda b: model(history)(b))
  data = batch()
  want = run(data)
  assert want.shape == (4, 2) and np.isfinite(want).all()
  # What stands where no action is must not be read.
  dirty = dict(data)
  dirty["action_items"] = np.where(data["action_types"] > 0,
                                   data["action_items"], 7)
  np.testing.assert_allclose(run(dirty), want, atol=1e-5)


@pytest.mark.parametrize("history", sorted(HISTORIES))
def test_one_user_for_all_candidates_equals_a_row_each(history):
  data = batch()
  whole = {
      name: np.repeat(x[:1], 4, 0) if name.startswith("action") else x
      for name, x in data.items()
  }
  one = {n: x[:1] if n.startswith("action") else x for n, x in data.items()}
  run = jax.jit(lambda b: model(history)(b))
  np.testing.assert_allclose(run(one), run(whole), atol=1e-5)


def test_what_an_encoder_says_of_the_candidate_is_true():
  for name, make in HISTORIES.items():
    encoder = make(4, 4, 5, rngs=nnx.Rngs(0), **OPTIONS.get(name, {}))
    reads = name in ("din", "bst", "transact")
    assert encoder.reads_candidate is reads


@pytest.mark.parametrize("pool", ["all", "rest", "none"])
@pytest.mark.parametrize("fusion", ["concat", "append"])
def test_transact_compresses_the_newest_states_and_the_maximum(fusion, pool):
  encoder = model("transact", fusion=fusion, pool=pool).history
  tokens = 6 if fusion == "append" else 5
  width = 12 if fusion == "concat" else 8
  hidden = np.random.default_rng(0).normal(size=(1, tokens, width))
  got = encoder.compress(jnp.asarray(hidden), jnp.ones((1, tokens), bool))[0]
  first = hidden[0, :2].reshape(-1)
  rest = {"all": hidden[0].max(0), "rest": hidden[0, 2:].max(0),
          "none": np.zeros(0)}[pool]
  np.testing.assert_allclose(got, np.concatenate([first, rest]), rtol=1e-6)
  assert encoder.width == len(got)


def test_the_window_hides_the_newest_actions_in_training_alone():
  ranker = model("average")
  ages = jnp.asarray(batch()["action_ages"])
  keys = jax.random.split(jax.random.key(0), 200)
  hidden = jax.vmap(lambda key: ranker._hidden(ages, key))(keys)
  # T is uniform over 24 hours: an age of a days is hidden at a rate of 1 - a.
  age = float(ages[0, 0])
  assert hidden[:, 0, 0].mean() == pytest.approx(
      max(0, 1 - age / 86_400), abs=0.12
  )
  # Newer ones are hidden with older ones, never the other way round.
  assert not (hidden[..., 1:] & ~hidden[..., :-1])[:, 0].any()
  data = batch()
  run = lambda **how: ranker(data, **how)
  still = run()
  np.testing.assert_array_equal(still, run(deterministic=True))
  assert not np.allclose(
      still, run(deterministic=False, rngs=nnx.Rngs(dropout=1)), atol=1e-3
  )


def test_a_window_per_batch_is_one_for_all_rows():
  ranker = Ranker(INPUTS, 1, embed_dim=4, history="average", window="batch",
                  rngs=nnx.Rngs(0))
  ages = jnp.tile(jnp.linspace(1.0, 86_400.0, 5), (4, 1))
  hidden = ranker._hidden(ages, jax.random.key(3))
  assert (hidden == hidden[:1]).all()


def test_unknown_and_missing_categories_say_nothing_at_first():
  table = model("none").vectors[...]
  assert not table[jnp.asarray([0, 1, 2])].any() and table[3:].any()


def test_counts_become_logarithms():
  got = count_features(jnp.asarray([[0.0, 3.0]]))
  want = [0, 0.3 * np.log(4), -np.log(4), np.log(4)]
  np.testing.assert_allclose(got[0], want, rtol=1e-6)


def test_the_penalty_is_the_mean_of_squares():
  ranker, data = model("none"), batch()
  found = ranker.vectors[...][data["ids"]]
  want = (np.asarray(found) ** 2).sum((1, 2)).mean()
  assert float(ranker.penalty(data)) == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(history="rnn"), "history 'rnn'"),
        (dict(window="week"), "window 'week'"),
        (dict(history="transact", history_options=dict(pool="mean")), "pool"),
    ],
)
def test_unknown_settings_are_refused(changes, message):
  with pytest.raises(ValueError, match=message):
    Ranker(INPUTS, 1, embed_dim=4, rngs=nnx.Rngs(0), **changes)

"""The ranker and its encoders of actions."""

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.models.histories import HISTORIES
from behavior_lm.models.histories.transact import TransAct
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


def model(history: str, **changes) -> Ranker:
  """Call it inside of a compiled function: making it op by op is slow."""
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


def of_user(data: dict, change) -> dict:
  """The batch with the fields of the user changed."""
  return {
      name: change(x) if name.startswith("action") else x
      for name, x in data.items()
  }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("history", "changes"),
    [
        *((name, {}) for name in sorted(HISTORIES)),
        (
            "transact",
            dict(fusion="append", positions=True, time_encoding="gate"),
        ),
    ],
)
def test_padding_changes_nothing_and_one_user_may_stand_for_all(
    history, changes
):
  data = batch()
  # What stands where no action is must not be read.
  seven = np.where(data["action_types"] > 0, data["action_items"], 7)
  repeated = of_user(data, lambda x: np.repeat(x[:1], 4, 0))
  once = of_user(data, lambda x: x[:1])

  @jax.jit
  def run(data, dirty, repeated, once):
    ranker = model(history, **changes)
    return [ranker(x) for x in (data, dirty, repeated, once)]

  want, same, each, one = run(
      data, data | {"action_items": seven}, repeated, once
  )
  assert want.shape == (4, 2) and np.isfinite(want).all()
  np.testing.assert_allclose(same, want, atol=1e-5)
  np.testing.assert_allclose(one, each, atol=1e-5)


def test_what_an_encoder_says_of_the_candidate_is_true():
  reads = {name for name, make in HISTORIES.items() if make.reads_candidate}
  assert reads == {"din", "bst", "transact"}


@pytest.mark.parametrize("pool", ["all", "rest", "none"])
@pytest.mark.parametrize("fusion", ["concat", "append"])
def test_transact_compresses_the_newest_states_and_the_maximum(fusion, pool):
  encoder = nnx.eval_shape(
      lambda: TransAct(
          4, 4, 5, fusion=fusion, pool=pool, num_first=2, rngs=nnx.Rngs(0)
      )
  )
  tokens = 6 if fusion == "append" else 5
  width = 12 if fusion == "concat" else 8
  hidden = np.random.default_rng(0).normal(size=(1, tokens, width))
  got = jax.jit(encoder.compress)(hidden, np.ones((1, tokens), bool))[0]
  first = hidden[0, :2].reshape(-1)
  rest = {
      "all": hidden[0].max(0),
      "rest": hidden[0, 2:].max(0),
      "none": np.zeros(0),
  }[pool]
  np.testing.assert_allclose(got, np.concatenate([first, rest]), rtol=1e-6)
  assert encoder.width == len(got)


@pytest.mark.slow
def test_the_window_hides_the_newest_actions_in_training_alone():
  data = batch()

  @jax.jit
  def run(data):
    ranker = model("average")
    keys = jax.random.split(jax.random.key(0), 200)
    hide = lambda key: ranker._hidden(data["action_ages"], key)
    return (
        jax.vmap(hide)(keys),
        ranker(data),
        ranker(data, deterministic=False, rngs=nnx.Rngs(dropout=1)),
    )

  hidden, still, trained = map(np.asarray, run(data))
  # T is uniform over 24 hours: an age of a days is hidden at a rate of 1 - a.
  age = float(data["action_ages"][0, 0])
  assert hidden[:, 0, 0].mean() == pytest.approx(
      max(0, 1 - age / 86_400), abs=0.12
  )
  # Newer ones are hidden with older ones, never the other way round.
  assert not (hidden[..., 1:] & ~hidden[..., :-1])[:, 0].any()
  assert not np.allclose(still, trained, atol=1e-3)


def test_a_window_per_batch_is_one_for_all_rows():
  ranker = nnx.eval_shape(
      lambda: Ranker(
          INPUTS,
          1,
          embed_dim=4,
          history="average",
          window="batch",
          rngs=nnx.Rngs(0),
      )
  )
  ages = np.tile(np.linspace(1.0, 86_400.0, 5), (4, 1))
  hidden = jax.jit(ranker._hidden)(ages, jax.random.key(3))
  assert (hidden == hidden[:1]).all()


def test_vectors_are_born_silent_where_they_must_and_have_a_price():
  data = batch()

  @jax.jit
  def run(data):
    ranker = model("none")
    return ranker.vectors[...], ranker.penalty(data)

  table, penalty = map(np.asarray, run(data))
  assert not table[[0, 1, 2]].any() and table[3:].any()
  want = (table[data["ids"]] ** 2).sum((1, 2)).mean()
  assert float(penalty) == pytest.approx(want, rel=1e-5)


def test_counts_become_logarithms():
  got = count_features(jnp.asarray([[0.0, 3.0]]))
  want = [0, 0.3 * np.log(4), -np.log(4), np.log(4)]
  np.testing.assert_allclose(got[0], want, rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(history="rnn"), "history 'rnn'"),
        (dict(window="week"), "window 'week'"),
        (dict(history="transact", history_options=dict(pool="mean")), "pool"),
    ],
)
def test_unknown_settings_are_refused(changes, message):
  make = lambda: Ranker(INPUTS, 1, embed_dim=4, rngs=nnx.Rngs(0), **changes)
  with pytest.raises(ValueError, match=message):
    nnx.eval_shape(make)

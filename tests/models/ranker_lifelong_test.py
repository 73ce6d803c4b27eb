"""TransAct V2's options: the nearest of many actions, and the next action."""

import dataclasses

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.models.histories.history import ActionVectors
from behavior_lm.models.histories.history import nearest_actions
from behavior_lm.models.histories.transact import TransAct
from behavior_lm.models.ranker import Ranker
from behavior_lm.models.ranker import RankerInputs
from behavior_lm.objectives.labels import BINARY
from behavior_lm.objectives.labels import Target
from behavior_lm.objectives.ranking import RankingLabels

LENGTH, RECENT, NEAREST = 9, 2, 3
INPUTS = RankerInputs(
    num_ids=30,
    num_columns=2,
    candidate=1,
    zero_ids=(1, 2, 10, 11),
    unknown_ids=(2, 11),
    bags=(),
    dense_width=0,
    num_actions=LENGTH,
    num_types=4,
)


def batch() -> dict[str, np.ndarray]:
  rng = np.random.default_rng(0)
  rows, length = 3, LENGTH
  there = np.arange(length) < np.array([length, 4, 0])[:, None]
  fill = lambda x: np.where(there, x, 0)
  return {
      "ids": np.stack(
          [rng.integers(3, 10, rows), rng.integers(12, 30, rows)], 1
      ),
      "dense": np.zeros((rows, 0), np.float32),
      "action_types": fill(rng.integers(3, 6, (rows, length))),
      "action_items": fill(rng.integers(12, 30, (rows, length))),
      "action_ages": fill(np.sort(rng.uniform(1, 99, (rows, length)), 1)),
      "action_counts": np.ones((rows, 4), np.float32),
  }


def filled(make) -> nnx.Module:
  """A module with noise as its parameters: making them is slow to compile."""
  graphdef, state = nnx.split(nnx.eval_shape(make))
  rng = np.random.default_rng(3)
  noise = lambda x: jnp.asarray(0.7 * rng.normal(size=x.shape), "float32")
  return nnx.merge(graphdef, jax.tree.map(noise, state))


def ranker(num_actions: int = LENGTH, **changes) -> Ranker:
  options = dict(
      num_layers=1, num_first=2, mlp_dim=8, dropout_rate=0.0, positions=True
  )
  return Ranker(
      dataclasses.replace(INPUTS, num_actions=num_actions),
      1,
      embed_dim=4,
      counts=False,
      mlp_dims=(),
      cross_layers=1,
      wide=False,
      products=False,
      dropout_rate=0.0,
      history="transact",
      history_options=options,
      rngs=nnx.Rngs(0),
      **changes,
  )


def of_user(data: dict, change) -> dict:
  """The batch with the sequences of actions changed."""
  names = ("action_types", "action_items", "action_ages")
  return data | {name: change(data[name]) for name in names}


def test_the_nearest_of_ten_thousand_equal_a_sort_by_hand():
  rng = np.random.default_rng(1)
  shape = (3, 10_000, 4)
  candidate, items = rng.normal(size=(3, 4)), rng.normal(size=shape)
  items[:, 7] = items[:, 3] = candidate  # A tie of the nearest.
  there = rng.random((3, 10_000)) < 0.6
  there[:, 3] = there[:, 7] = True

  @jax.jit
  def run(candidate, items, there):
    first = items[:1], there[:1]
    return (
        nearest_actions(candidate, items, there, 8),
        nearest_actions(candidate, *first, 8),
    )

  got = run(candidate, items, there)
  for row in range(3):
    for places, user in ((got[0], row), (got[1], 0)):
      length = np.linalg.norm(items[user], axis=-1)
      cosine = np.where(there[user], items[user] @ candidate[row] / length, -9)
      order = np.argsort(-cosine, kind="stable")
      assert places[row].tolist() == sorted(order[:8])


@pytest.mark.slow
def test_a_model_reads_the_newest_and_the_nearest_of_the_others():
  data = batch()
  model = filled(lambda: ranker(num_recent=RECENT, num_nearest=NEAREST))
  short = filled(lambda: ranker(RECENT + NEAREST))

  @jax.jit
  def run(data):
    candidate = model.vectors[...][data["ids"][:, 1]]
    found = model.vectors[...][data["action_items"][:, RECENT:]]
    places = RECENT + nearest_actions(
        candidate, found, data["action_types"][:, RECENT:] > 0, NEAREST
    )
    newest = jnp.broadcast_to(jnp.arange(RECENT), (3, RECENT))
    at = jnp.concatenate([newest, places], 1)
    cut = of_user(data, lambda x: jnp.take_along_axis(x, at, 1))
    return model(data), short(cut), model(of_user(data, lambda x: x[:1]))

  got, want, one = run(data)
  np.testing.assert_allclose(got, want, atol=1e-5)
  np.testing.assert_allclose(one[0], got[0], atol=1e-5)
  assert not np.allclose(one[1:], got[1:], atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("fusion", ["concat", "append"])
def test_a_past_state_sees_neither_newer_actions_nor_the_candidate(fusion):
  rng = np.random.default_rng(2)
  item = lambda *shape: rng.normal(size=shape).astype(np.float32)
  actions = ActionVectors(
      types=item(1, 6, 2),
      items=item(1, 6, 4),
      candidate=item(1, 4),
      ages=np.arange(1.0, 7.0)[None],
      there=np.array([[True] * 5 + [False]]),
  )
  newer = actions._replace(items=actions.items.copy(), candidate=item(1, 4))
  newer.items[0, :2] = 1.0

  encoder = filled(
      lambda: TransAct(
          2, 4, 6, fusion=fusion, num_layers=1, mlp_dim=4, rngs=nnx.Rngs(0)
      )
  )

  @jax.jit
  def run(*both):
    find = lambda x: encoder.past_states(x, deterministic=True, rngs=None)
    return [find(x) for x in both]

  states, changed = map(np.asarray, run(actions, newer))
  # Oldest first, behind a place without an action; the two newest are last.
  np.testing.assert_allclose(states[0, 1:4], changed[0, 1:4], atol=1e-6)
  assert (np.abs(states - changed)[0, 4:].max(-1) > 1e-3).all()


@pytest.mark.slow
def test_the_loss_of_the_next_action_equals_a_softmax_by_hand():
  data = batch() | {
      "labels": np.array([[1.0], [0.0], [1.0]], np.float32),
      "weights": np.ones((3, 1), np.float32),
  }
  data["action_items"][0, 4] = 11  # An unknown item is no target.
  loss = RankingLabels(
      (Target("click", BINARY),), next_weight=0.5, next_source="shown"
  )
  model = filled(lambda: ranker(next_action=True))

  @jax.jit
  def run(data):
    states = model.next_actions(data, deterministic=True, rngs=None)
    key = jax.random.key(0)
    total, metrics, _ = loss.loss(model, data, {}, key)
    other = dataclasses.replace(loss, next_source="batch", next_negatives=5)
    return states, total, metrics, other.next_action(model, data, key)[0]

  states, total, metrics, of_batch = run(data)
  table, hidden = np.asarray(states["table"]), np.asarray(states["hidden"])
  items = data["action_items"][:, ::-1]
  shown, losses = data["ids"][:, 1], []
  for row in range(3):
    for place in range(LENGTH - 1):
      target = items[row, place + 1]
      if items[row, place] == 0 or target in (0, 11):
        continue
      negatives = table[[n for n in shown if n != target]]
      scores = np.concatenate([table[[target]], negatives]) @ hidden[row, place]
      losses.append(np.log(np.exp(scores).sum()) - scores[0])
  assert len(losses) == LENGTH - 2 + 3
  assert float(metrics["next_action"]) == pytest.approx(np.mean(losses), 1e-4)
  want = float(metrics["loss"]) + 0.5 * np.mean(losses)
  assert float(total) == pytest.approx(want, 1e-4)
  assert float(of_batch) > 0


def test_settings_that_do_not_fit_are_refused():
  with pytest.raises(ValueError, match="num_recent 8 and num_nearest 3 of 9"):
    nnx.eval_shape(lambda: ranker(num_recent=8, num_nearest=3))
  with pytest.raises(ValueError, match="states of transact, not of din"):
    nnx.eval_shape(
        lambda: Ranker(
            INPUTS, 1, history="din", next_action=True, rngs=nnx.Rngs(0)
        )
    )
  with pytest.raises(ValueError, match="next_source 'all'"):
    RankingLabels((Target("click", BINARY),), next_source="all")

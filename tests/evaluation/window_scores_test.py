"""Evaluators of windows: packing changes nothing, and by hand."""

from flax import nnx
import numpy as np
import pytest

from behavior_lm.logs.dataset import open_dataset
from behavior_lm.recipes.pretrain import make_evaluator
from behavior_lm.recipes.pretrain import make_subject
from behavior_lm.recipes.shared import parts
from behavior_lm.training.sharding import make_mesh
from behavior_lm.training.state import split_model
from tests.tiny import tiny_config

OBJECTIVES = "contrastive+sentence_order+replaced_events"
# Events of the tiny logs are 0, 0.7, 1.4 or 2.1 seconds apart.
SESSIONS = "2"


@pytest.fixture(scope="module")
def opened(dataset_path):
  config = tiny_config(
      dataset_path,
      objective=OBJECTIVES,
      model__num_layers=1,
      tokenizer__sessions=SESSIONS,
  )
  dataset = open_dataset(dataset_path)
  tokenizer = parts.make_tokenizer(config, dataset)
  make = parts.language_model(config, tokenizer.vocab_size)
  graphdef, params, model_state = split_model(make(rngs=nnx.Rngs(0)))
  state = {"params": params, "model_state": model_state}

  def evaluator(kind, **changes):
    for key, value in changes.items():
      config.data[key] = value
    subject = make_subject(config, dataset, tokenizer, graphdef, make_mesh())
    return make_evaluator(config, kind, subject)

  return evaluator, state


@pytest.mark.slow
def test_halves_and_order_are_scored_alike_packed_and_alone(opened):
  evaluator, state = opened
  found = {
      (kind, pack): evaluator(kind, pack=pack).scores(state)
      for kind in ("test", "test_sentence_order")
      for pack in (True, False)
  }
  for kind in ("test", "test_sentence_order"):
    for name, (sums, weights) in found[kind, True].ratios.items():
      alone, alone_weights = found[kind, False].ratios[name]
      np.testing.assert_array_equal(weights, alone_weights)
      np.testing.assert_allclose(sums, alone)
  halves = found["test", True]
  # One window of each of the six user-days.
  assert halves.count.tolist() == [1] * 6
  ranks = 1 / halves.ratios["mrr"][0]
  assert set(ranks) <= {1, 2, 3, 4, 5, 6}
  order = found["test_sentence_order", True]
  # Each window is shown both ways, and a model that cannot tell has half.
  assert (order.count % 2 == 0).all() and order.count.sum() > 6


def test_an_own_half_is_ranked_among_those_of_other_users(opened):
  evaluator, _ = opened
  halves = evaluator("test")
  # Users of the split: one sequence each. The second one has two windows.
  first = np.eye(3)[[0, 1, 1]]
  second = np.array([[1.0, 0, 0], [0.9, 0.5, 0], [0.8, 0.6, 0]])
  found = halves._rank(np.array([0, 1, 1]), first, second)
  # The first is best; the others lose to no OTHER user, whatever their own
  # windows have.
  assert found.count.tolist() == [1, 2, 0, 0, 0, 0]
  np.testing.assert_allclose(found.ratios["mrr"][0][:2], [1, 2])
  equal = halves._rank(np.arange(3), first, np.ones((3, 3)))
  # Vectors that are all alike find nothing.
  assert equal.summary() == {"mrr": pytest.approx(1 / 3), "hr@1": 0}


def test_halves_are_compared_by_the_counts_of_their_events(opened):
  evaluator, _ = opened
  halves = evaluator("test")
  found, unfair = halves.baselines()
  assert not unfair
  tokens = halves._windows.tokens
  parts = []
  for number in range(6):
    events = tokens[number]["tokens"][-31:]
    # Of 31 events the one in the middle gives its place to CLS.
    assert len(events) == 31
    parts.append([np.bincount(x, minlength=40) for x in
                  (events[:15], events[16:])])
  unit = np.array(parts, float)
  unit /= np.linalg.norm(unit, axis=-1, keepdims=True)
  want = halves._rank(np.arange(6), unit[:, 0], unit[:, 1])
  got = found["event histogram"]
  assert got.summary() == pytest.approx(want.summary())


@pytest.mark.slow
def test_the_area_counts_pairs_of_a_replaced_and_a_true_event(opened):
  evaluator, state = opened
  detection = evaluator("test_replaced_events")
  batches = [(batch, found) for batch, found in detection._found(state)]
  high = [f[r] for _, (f, _, r) in batches]
  low = [f[e & ~r] for _, (f, e, r) in batches]
  high, low = np.concatenate(high), np.concatenate(low)
  pairs = (high[:, None] > low).mean() + (high[:, None] == low).mean() / 2
  found = detection.run(state)
  assert found == {"auc": pytest.approx(pairs, rel=1e-6)}
  again = evaluator("test_replaced_events").run(state)
  assert again == found

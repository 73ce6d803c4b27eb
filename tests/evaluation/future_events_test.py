"""The evaluator of future events: by loops, and packing changes nothing."""

from flax import nnx
import jax
import numpy as np
import pytest

from behavior_lm.layers.heads import logits
from behavior_lm.logs.dataset import open_dataset
from behavior_lm.objectives.future_events import future_head
from behavior_lm.recipes.pretrain import make_evaluator
from behavior_lm.recipes.pretrain import make_subject
from behavior_lm.recipes.shared import parts
from behavior_lm.training.sharding import make_mesh
from behavior_lm.training.state import merge_model
from behavior_lm.training.state import split_model
from tests.tiny import tiny_config

# Events of the tiny logs are 0, 0.7, 1.4 or 2.1 seconds apart.
HORIZON, STRIDE = 3.0, 3
SPECIAL = (0, 1, 3, 4)  # all but UNK


@pytest.fixture(scope="module")
def opened(dataset_path):
  config = tiny_config(
      dataset_path,
      objective="future_events",
      objective__horizon=HORIZON,
      evals__test__stride=STRIDE,
  )
  dataset = open_dataset(dataset_path)
  tokenizer = parts.make_tokenizer(config, dataset)
  make = parts.language_model(config, tokenizer.vocab_size)
  graphdef, params, model_state = split_model(make(rngs=nnx.Rngs(0)))
  state = {"params": params, "model_state": model_state}

  def evaluator(pack=True):
    config.data.pack = pack
    subject = make_subject(config, dataset, tokenizer, graphdef, make_mesh())
    return make_evaluator(config, "test", subject)

  return evaluator, state


def test_the_evaluator_has_the_horizon_of_the_objective(opened):
  evaluator, _ = opened
  assert evaluator().settings == {
      "horizon": HORIZON, "cut_horizons": True, "stride": STRIDE
  }


@pytest.mark.slow
def test_scores_are_those_of_loops_packed_and_alone(opened):
  evaluator, state = opened
  packed = evaluator().scores(state)
  alone = evaluator(pack=False).scores(state)
  for name, (sums, weights) in packed.ratios.items():
    np.testing.assert_array_equal(weights, alone.ratios[name][1])
    np.testing.assert_allclose(sums, alone.ratios[name][0], rtol=1e-5)
  # By loops over the windows of the first sequence.
  subject, windows = evaluator().subject, evaluator()._windows
  length = subject.spec.max_length

  @jax.jit
  def log_probs(state, batch):
    model = merge_model(subject.graphdef, **state)
    at = np.arange(length)[None]
    found = logits(future_head(model, batch, at, deterministic=True))
    special = np.isin(np.arange(found.shape[-1]), SPECIAL)
    return jax.nn.log_softmax(found + np.where(special, -1e30, 0.0))

  nats, recalled, left_out = [], [], 0
  for number in range(len(windows)):
    sequence, start, _ = windows.locate(0, number)
    if sequence:
      break
    fields = windows.read(0, number)
    tokens, gaps = fields["tokens"], fields["time_gaps"]
    size = len(tokens)
    batch = {name: np.zeros((1, length), np.int32) for name in subject.names}
    fields |= {"positions": np.arange(size), "segment_ids": np.ones(size)}
    for name, values in batch.items():
      values[0, :size] = fields[name]
    log_p = np.asarray(log_probs(state, batch))[0]
    for at in range(1, size):
      if (start + at - 1) % STRIDE:
        continue
      future = tokens[at + 1 :][np.cumsum(gaps[at + 1 :]) <= HORIZON * 10]
      left_out += not len(future)
      if len(future):
        nats.append(-log_p[at, future].mean())
        best = np.argsort(-log_p[at])[:10]
        recalled.append(np.isin(future, best).mean())
  first = {name: (x[0], w[0]) for name, (x, w) in packed.ratios.items()}
  assert number > 1 and first["left_out"] == (left_out, left_out + len(nats))
  assert first["bits"] == pytest.approx((np.sum(nats) / np.log(2), len(nats)))
  assert first["recall@10"][0] == pytest.approx(np.sum(recalled))


@pytest.mark.slow
def test_popularity_saves_nothing_and_own_events_are_scored_alike(opened):
  evaluator, state = opened
  found, unfair = evaluator().baselines()
  assert not unfair
  model = evaluator().scores(state)
  for one in found.values():
    np.testing.assert_array_equal(one.count, model.count)
  popularity = found["popularity"].summary()
  assert popularity["bits_saved"] == pytest.approx(0, abs=1e-9)
  np.testing.assert_allclose(
      found["popularity"].ratios["bits"][0],
      model.ratios["bits"][0] + model.ratios["bits_saved"][0],
  )
  assert found["own events so far"].summary()["bits"] > 0

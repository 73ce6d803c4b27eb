"""Integrated gradients: complete, of the definition, and for events alone."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.fields import FIELDS
from behavior_lm.downstream.finetune import FineTuned
from behavior_lm.inference.explain.attribution import hide_events
from behavior_lm.inference.explain.attribution import make_attribution
from behavior_lm.logs import schema
from behavior_lm.recipes.finetune_loading import load_finetuned
from behavior_lm.recipes.train import train
from behavior_lm.training.state import merge_model
from behavior_lm.training.state import split_model
from tests.finetuning import finetune_config
from tests.finetuning import labels_file
from tests.finetuning import pretrained
from tests.tiny import tiny_events

# The fixtures of this file take seconds.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(dataset_path, tmp_path_factory):
  """A fine-tuned run whose outputs are not small."""
  out = tmp_path_factory.mktemp("attribution")
  run = pretrained(dataset_path, out / "run")
  config = finetune_config(
      run,
      labels_file(out),
      total_steps=10,
      optim__learning_rate=1e-2,
      keep_best__metric="",
  )
  with config.unlocked():
    config.task.labels.spend = "regression"
  train(config, out / "tuned")
  return out / "tuned"


def some_rows():
  batch = {
      "tokens": [[schema.CLS_ID, 7, 9, 7, 0], [schema.CLS_ID, 8, 0, 0, 0]],
      "segment_ids": [[1, 1, 1, 1, 0], [1, 1, 0, 0, 0]],
      "positions": [[0, 1, 2, 3, 0], [0, 1, 0, 0, 0]],
      "time_gaps": [[-1, 5, 0, 30, -1], [-1, 2, -1, -1, -1]],
  }
  return {name: np.asarray(rows, np.int32) for name, rows in batch.items()}


def test_events_are_hidden_and_nothing_else():
  batch = some_rows()
  hidden = hide_events(batch, FIELDS)
  real = batch["tokens"] > schema.SEP_ID
  assert (hidden["tokens"][real] == schema.MASK_ID).all()
  assert (hidden["time_gaps"] == -1).all()
  np.testing.assert_array_equal(
      hidden["tokens"][~real], batch["tokens"][~real]
  )
  for name in ("segment_ids", "positions"):
    np.testing.assert_array_equal(hidden[name], batch[name])


def test_shares_are_the_integral_along_the_way(folder):
  run = load_finetuned(folder)
  batch, steps, output = some_rows(), 4, 1
  hidden = hide_events(batch, FIELDS)
  program = jax.jit(make_attribution(run.graphdef), static_argnames="steps")
  shares, ends = program(
      run.params, run.model_state, batch, hidden, output, steps=steps
  )
  model = merge_model(run.graphdef, run.params, run.model_state)
  start, end = (model.encoder.embedded(x) for x in (hidden, batch))

  @jax.jit
  def predict(embedded):
    return model(batch | {"embedded": embedded})[:, 0, output]

  np.testing.assert_allclose(ends[0], predict(start), rtol=1e-5)
  np.testing.assert_allclose(ends[1], predict(end), rtol=1e-5)
  # The embeddings that are given are those that would have been computed.
  np.testing.assert_allclose(model(batch)[:, 0, output], ends[1], rtol=1e-5)
  gradient = jax.jit(jax.grad(lambda x: predict(x).sum()))
  want = sum(
      (end - start) * gradient(start + (number + 0.5) / steps * (end - start))
      for number in range(steps)
  )
  np.testing.assert_allclose(shares, want.sum(-1) / steps, atol=1e-5)
  assert (jnp.asarray(shares)[batch["segment_ids"] == 0] == 0).all()


def load_as_a_probe(folder):
  """The model as if its encoder had been frozen while its head was trained."""
  run = load_finetuned(folder, best=False)
  model = merge_model(run.graphdef, run.params, run.model_state)
  model.frozen = True
  return FineTuned(dataclasses.replace(run, graphdef=split_model(model)[0]))


@pytest.mark.parametrize(
    "load", [functools.partial(FineTuned.load, best=False), load_as_a_probe]
)
def test_the_tokens_of_a_user_add_up_to_what_is_predicted(folder, load):
  model = load(folder)
  logs = tiny_events()
  found = model.attribute(logs, steps=32)
  users = found.group_by("user_id", maintain_order=True).agg(
      pl.col("attribution").sum(),
      pl.col("prediction", "baseline").first(),
      pl.col("token").first(),
      pl.len(),
  )
  assert users["user_id"].to_list() == [f"user{i}" for i in range(6)]
  assert (users["token"] == "[CLS]").all()
  gain = users["prediction"] - users["baseline"]
  assert gain.abs().max() > 0.1
  np.testing.assert_allclose(users["attribution"], gain, rtol=0.02, atol=0.01)
  predicted = model.predict(logs)
  np.testing.assert_allclose(
      1 / (1 + np.exp(-users["prediction"].to_numpy())),
      predicted["bot"],
      atol=1e-5,
  )
  # Rows name the events that were read: the last ones of the user.
  own = found.filter(pl.col("user_id") == "user3")
  read = logs.filter(pl.col("user_id") == "user3").tail(len(own) - 1)
  assert own["timestamp"][1:].to_list() == read["timestamp"].to_list()
  assert own["token"][1:].str.contains("e").all()


def test_a_label_that_is_not_there_is_named(folder):
  model = FineTuned.load(folder, best=False)
  with pytest.raises(UserError, match=r"'age'.*bot \(1\), spend \(1\)"):
    model.attribute(tiny_events(), "age")
  with pytest.raises(UserError, match="output 2"):
    model.attribute(tiny_events(), "spend", 2)
  none = tiny_events().head(0)
  assert model.attribute(none).is_empty()

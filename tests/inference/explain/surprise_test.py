import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.inference.embedder import Embedder
from behavior_lm.inference.explain.surprise import last_surprise
from behavior_lm.layers.heads import logits
from behavior_lm.logs import schema
from behavior_lm.recipes.shared.loading import load_run
from behavior_lm.recipes.train import train
from tests.tiny import tiny_config
from tests.tiny import tiny_events


@pytest.mark.slow
def test_surprise_is_what_each_event_costs_given_its_past(
    dataset_path, tmp_path
):
  train(
      tiny_config(dataset_path, objective="next_events", total_steps=2),
      tmp_path / "run",
  )
  run = load_run(tmp_path / "run")
  events = tiny_events().filter(pl.col("user_id").is_in(["user1", "user2"]))
  head = lambda count: events.group_by("user_id", maintain_order=True).head(
      count
  )
  first, second = last_surprise(run, head(6))
  assert len(first) == len(second) == 6
  # The past alone decides.
  for bits, fewer in zip(
      (first, second), last_surprise(run, head(4)), strict=True
  ):
    np.testing.assert_allclose(bits[:4], fewer, atol=1e-5)
  # By hand, the last event of the first user.
  batch = Embedder(run).inputs(head(6))
  found = logits(run.model(batch, np.asarray([[5], [5]])))[0, 0]
  found = np.asarray(found, np.float64)
  special = np.arange(schema.NUM_SPECIAL)
  found[special[special != schema.UNK_ID]] = -np.inf
  token = batch["tokens"][0, 6]
  want = np.log2(np.exp(found).sum()) - found[token] / np.log(2)
  assert first[5] == pytest.approx(want, abs=1e-4)
  # Of a long history the window of the model.
  assert len(last_surprise(run, events)[0]) == run.config.data.max_length - 1


@pytest.mark.slow
def test_a_model_of_both_sides_has_no_surprise(dataset_path, tmp_path):
  train(tiny_config(dataset_path, total_steps=1), tmp_path / "run")
  with pytest.raises(UserError, match="needs a causal model"):
    last_surprise(load_run(tmp_path / "run"), tiny_events())

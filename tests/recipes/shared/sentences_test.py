import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.objectives.objective import Requires
from behavior_lm.recipes.pretrain import make_objective
from behavior_lm.recipes.pretrain import Pretrain
from behavior_lm.recipes.shared.sentences import CountedSentences
from tests.tiny import tiny_config


class Constant:
  requires = Requires(("tokens",), hides_events=True)

  def init_state(self):
    return {"seen": jnp.ones(())}

  def loss(self, model, batch, state, key):
    return jnp.ones(()), {"loss": jnp.ones(())}, {"seen": state["seen"] + 1}


def test_the_share_of_sentences_without_a_vector_joins_the_metrics():
  objective = CountedSentences(Constant(), 2)
  assert objective.requires == Constant.requires
  batch = {
      # Three sentences in the first row, four in the second one.
      "segment_ids": np.array([[1, 1, 1, 2, 2, 0], [1, 1, 1, 1, 1, 1]]),
      "sessions": np.array([[0, 0, 1, 0, 0, 0], [0, 1, 2, 2, 3, 3]]),
  }
  loss, metrics, state = objective.loss(
      None, batch, objective.init_state(), jax.random.key(0)
  )
  assert loss == 1 and metrics["loss"] == 1 and state["seen"] == 2
  assert float(metrics["sentences_left_out"]) == pytest.approx(3 / 7)


def test_a_run_of_two_levels_counts_by_its_length(dataset_path):
  config = tiny_config(
      dataset_path,
      tokenizer__sessions="2",
      model__session_layers=1,
      model__sentence_layers=1,
  )
  # Whose step is checked in shapes, with the fields of its batches.
  recipe = Pretrain(config)
  assert "sessions" in recipe.batch_shapes()
  assert recipe.objective.num_sentences == config.data.max_length // 4
  config.model.max_sentences = 5
  assert make_objective(config, 40).num_sentences == 5
  config.model.sentence_layers = 0
  assert not isinstance(make_objective(config, 40), CountedSentences)

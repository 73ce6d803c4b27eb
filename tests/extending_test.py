"""A toy of each kind joins by one dict entry: docs/extending.md in code."""

import dataclasses

from flax import nnx
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from behavior_lm.artifacts.metrics import read_metrics
from behavior_lm.attention.spec import AttentionSpec
from behavior_lm.evaluation.evaluators import EVALUATORS
from behavior_lm.inference.embedder import Embedder
from behavior_lm.layers.transformer import TransformerLayer
from behavior_lm.models.encoders import ENCODERS
from behavior_lm.models.encoders.config import EncoderConfig
from behavior_lm.models.encoders.encoder import Encoder
from behavior_lm.objectives import OBJECTIVES
from behavior_lm.objectives.cross_entropy import token_loss
from behavior_lm.objectives.next_events import next_tokens
from behavior_lm.objectives.objective import Requires
from behavior_lm.recipes.train import RECIPES
from behavior_lm.recipes.train import train
from tests.tiny import tiny_config
from tests.toy_recipe import toy_config
from tests.toy_recipe import ToyRecipe


@dataclasses.dataclass(frozen=True)
class NarrowConfig(EncoderConfig):
  reach: int = 3


class Narrow(Encoder):
  """Sees a few tokens on each side."""

  def __init__(self, config, *, rngs):
    spec = AttentionSpec(
        "sliding_window", causal=config.causal, window_size=config.reach
    )
    super().__init__(
        config,
        lambda number, shared: TransformerLayer.of(config, spec, **shared),
        rngs=rngs,
    )


@dataclasses.dataclass(frozen=True)
class Counting:
  """Next events, and how often each token was the answer."""

  num_special: int
  unk_id: int
  vocab_size: int = 64

  @property
  def requires(self):
    return Requires(("tokens", "segment_ids"), predicts_future=True)

  def init_state(self):
    return {"seen": jnp.zeros(self.vocab_size)}

  def loss(self, model, batch, state, key):
    tokens, weights = next_tokens(batch, self.num_special, self.unk_id)
    head = model(batch, deterministic=False, rngs=nnx.Rngs(dropout=key))
    total = jnp.maximum(weights.sum(), 1)
    loss, _, _ = token_loss(head, tokens, weights / total)
    seen = state["seen"].at[tokens].add(weights)
    return loss, {"loss": loss, "distinct": (seen > 0).sum()}, {"seen": seen}


class Norm:
  """How large the parameters are."""

  title = "norm"

  def __init__(self, subject, *, split, every=0, power=2):
    self.subject, self.split, self.every, self.power = (
        subject, split, every, power
    )

  def run(self, state):
    leaves = jax.tree.leaves(state["params"])
    total = sum(float((jnp.abs(x) ** self.power).sum()) for x in leaves)
    return {"norm": total}


@pytest.mark.slow
def test_a_model_an_objective_and_an_evaluator_are_a_dict_entry_each(
    dataset_path, tmp_path, monkeypatch
):
  monkeypatch.setitem(ENCODERS, "narrow", (Narrow, NarrowConfig))
  monkeypatch.setitem(OBJECTIVES, "counting", Counting)
  monkeypatch.setitem(EVALUATORS, "norm", Norm)
  config = tiny_config(
      dataset_path,
      objective="next_events",
      total_steps=4,
      model__name="narrow",
      model__reach=2,
      evals__size=dict(evaluator="norm", split="test", every=2, power=1),
  )
  config.objective = ml_collections.ConfigDict({"name": "counting"})
  assert train(config, tmp_path / "run") == "finished"
  lines = read_metrics(tmp_path / "run" / "metrics.jsonl")
  distinct = [line["distinct"] for line in lines if "distinct" in line]
  assert distinct == sorted(distinct) and distinct[-1] > 5
  assert sum("eval/size/norm" in line for line in lines) == 2
  vectors = Embedder.load(tmp_path / "run").encode([["e1", "e2"]])
  assert vectors.shape == (1, 16) and np.isfinite(vectors).all()


@pytest.mark.slow
def test_a_kind_of_run_is_a_dict_entry(tmp_path, monkeypatch):
  class FromConfig(ToyRecipe):
    def __init__(self, config, folder=None):
      super().__init__(config)
      self.resumed = folder

  monkeypatch.setitem(RECIPES, "toy", FromConfig)
  config = toy_config(total_steps=4)
  assert train(config, tmp_path / "run") == "finished"
  assert (tmp_path / "run" / "truth.json").exists()
  assert train(config, tmp_path / "run") == "finished"

"""Small models with weights that hide nothing."""

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.models.encoders import ENCODERS
from behavior_lm.models.language_model import LanguageModel

SIZES = dict(
    vocab_size=61,
    num_layers=3,
    embed_dim=24,
    num_heads=3,
    mlp_dim=40,
    max_length=48,
    max_segments=4,
    time_encoding="none",
)
OWN = {
    "bert": {},
    "albert": {"embedding_dim": 10, "activation": "gelu_tanh"},
    "longformer": {"window_size": (4, 2, 4)},
}
# config.json of models of theirs, and a head or none.
THEIRS = {
    "model_type": None,
    "vocab_size": 61,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 50,
}
THEIR_OWN = {
    "bert": {"layer_norm_eps": 1e-3},
    "albert": {"embedding_size": 10},
    "longformer": {"attention_window": [8, 4, 8], "pad_token_id": 1},
}
CLASSES = {"bert": "Bert", "albert": "Albert", "longformer": "Longformer"}


def their_config(name, *, head=True, **changes):
  ending = "ForMaskedLM" if head else "Model"
  return THEIRS | THEIR_OWN[name] | {
      "model_type": name,
      "architectures": [CLASSES[name] + ending],
      **changes,
  }


def make(name, **changes):
  """A model whose norms and biases are random too."""
  values = SIZES | OWN.get(name, {}) | changes
  config = ENCODERS[name][1](**values)
  model = LanguageModel(name, config, rngs=nnx.Rngs(0))
  graphdef, params = nnx.split(model, nnx.Param)
  leaves, tree = jax.tree.flatten(params)
  keys = jax.random.split(jax.random.key(1), len(leaves))
  noisy = [
      leaf + 0.2 * jax.random.normal(key, leaf.shape, jnp.float32)
      if leaf.ndim == 1
      else leaf
      for key, leaf in zip(keys, leaves, strict=True)
  ]
  return nnx.merge(graphdef, jax.tree.unflatten(tree, noisy))

"""The same weights and inputs in transformers' Reformer and in ours."""

import json

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from behavior_lm.layers.lsh_attention import LshSelfAttention
from behavior_lm.layers.reversible import Halves
from behavior_lm.models.reformer import Reformer
from behavior_lm.models.reformer import ReformerConfig
from tests.peers import run_peer

WIDTH, HEADS, CHUNK, VOCAB = 32, 2, 16, 50
SHARED = dict(
    hidden_size=WIDTH,
    num_attention_heads=HEADS,
    attention_head_size=WIDTH // HEADS,
    feed_forward_size=64,
    local_attn_chunk_length=CHUNK,
    lsh_attn_chunk_length=CHUNK,
    max_position_embeddings=512,
    num_hashes=2,
    num_buckets=8,
    vocab_size=VOCAB,
    hidden_act="gelu",
)
LOCAL, HASHED, MIXED = ["local"], ["lsh"], ["local", "lsh", "local", "lsh"]
CASES = {
    "local_16": dict(attn_layers=LOCAL, length=16, real=9),
    "local_32": dict(attn_layers=LOCAL, length=32, real=32),
    "local_250": dict(attn_layers=LOCAL, length=250, real=170),
    "local_causal": dict(
        attn_layers=LOCAL, length=128, real=128, is_decoder=True
    ),
    "lsh_10": dict(attn_layers=HASHED, length=10, real=10),
    "lsh_128": dict(attn_layers=HASHED, length=128, real=128),
    "lsh_250": dict(attn_layers=HASHED, length=250, real=201, num_hashes=3),
    "lsh_two_factors": dict(
        attn_layers=HASHED, length=512, real=512, num_buckets=[4, 8]
    ),
    # Causal with one round: theirs joins rounds by a logsumexp of float32s near
    # -1e5, which scales a token that sees only itself by up to 0.4 %.
    "lsh_causal": dict(
        attn_layers=HASHED,
        length=192,
        real=150,
        is_decoder=True,
        num_hashes=1,
    ),
    "model_48": dict(attn_layers=MIXED, length=48, real=48),
    "model_500": dict(attn_layers=MIXED, length=500, real=333, num_hashes=4),
    "model_causal": dict(
        attn_layers=MIXED,
        length=256,
        real=256,
        is_decoder=True,
        num_hashes=1,
    ),
}


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
  folder = tmp_path_factory.mktemp("reformer")
  cases = {name: SHARED | case for name, case in CASES.items()}
  (folder / "cases.json").write_text(json.dumps(cases))
  run_peer("reformer_outputs", folder / "cases.json", folder)
  return {name: load_file(folder / f"{name}.safetensors") for name in CASES}


def build(case):
  buckets = case.get("num_buckets", SHARED["num_buckets"])
  config = ReformerConfig(
      vocab_size=VOCAB,
      num_layers=len(case["attn_layers"]),
      embed_dim=WIDTH,
      num_heads=HEADS,
      mlp_dim=SHARED["feed_forward_size"],
      max_length=SHARED["max_position_embeddings"],
      time_encoding="none",
      causal=case.get("is_decoder", False),
      attention_layers=tuple(case["attn_layers"]),
      num_hashes=case.get("num_hashes", SHARED["num_hashes"]),
      chunk_size=CHUNK,
      num_buckets=tuple(buckets) if isinstance(buckets, list) else buckets,
      faithful=True,
  )
  return Reformer(config, rngs=nnx.Rngs(0))


def fill(model, weights):
  """Puts their weights into our model; every one of theirs has a place."""
  left = dict(weights)

  def kernel(name):
    return left.pop(f"{name}.weight").T

  def put_norm(norm, name):
    norm.scale[...] = left.pop(f"{name}.weight")
    norm.bias[...] = left.pop(f"{name}.bias")

  embeddings = "embeddings."
  model.embed.token.embedding[...] = left.pop(
      f"{embeddings}word_embeddings.weight"
  )
  model.embed.position.embedding[...] = left.pop(
      f"{embeddings}position_embeddings.embedding.weight"
  )
  for number, layer in enumerate(model.layers):
    place = f"encoder.layers.{number}."
    half, self_attention = layer.attention, f"{place}attention.self_attention."
    put_norm(half.norm, f"{place}attention.layer_norm")
    if isinstance(half.attention, LshSelfAttention):
      fused, names = half.attention.query_value, ("query_key", "value")
    else:
      fused, names = half.attention.qkv, ("query", "key", "value")
    fused.kernel[...] = np.concatenate(
        [kernel(self_attention + name) for name in names], 1
    )
    half.attention.out.kernel[...] = kernel(f"{place}attention.output.dense")
    half = layer.feed_forward
    put_norm(half.norm, f"{place}feed_forward.layer_norm")
    for ours, name in ((half.mlp_in, "dense"), (half.mlp_out, "output")):
      ours.kernel[...] = kernel(f"{place}feed_forward.{name}.dense")
      ours.bias[...] = left.pop(f"{place}feed_forward.{name}.dense.bias")
  put_norm(model.streams_norm, "encoder.layer_norm")
  assert not left, sorted(left)


def run_ours(model, tokens, mask, rotations):
  """Their embeddings are the plain sum of token and position."""
  length = tokens.shape[1]
  positions = jnp.broadcast_to(jnp.arange(length), tokens.shape)
  found = iter(rotations)
  keys = []
  for layer in model.layers:
    # A row of one chunk is not hashed there; any rotations do.
    fixed = layer.attention.draw_rotations(jax.random.key(0), length)
    drawn = fixed if fixed is None else next(found, fixed)
    keys.append(Halves((None, drawn), None))
  assert next(found, None) is None
  hidden = model.embed.token(tokens) + model.embed.position(positions)
  run = lambda hidden: model.run_streams(
      hidden, keys, segment_ids=mask, positions=positions
  )
  return jax.jit(run)(hidden)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_outputs_are_those_of_transformers(name, theirs):
  arrays = dict(theirs[name])
  tokens, mask = (
      jnp.asarray(arrays.pop(key), jnp.int32) for key in ("tokens", "mask")
  )
  want = arrays.pop("last_hidden_state")
  count = sum(key.startswith("rotations.") for key in arrays)
  rotations = [jnp.asarray(arrays.pop(f"rotations.{i}")) for i in range(count)]
  weights = {k: v for k, v in arrays.items() if "mask_value" not in k}
  model = build(CASES[name])
  fill(model, weights)
  got = np.asarray(run_ours(model, tokens, mask, rotations))
  real = np.asarray(mask) != 0
  print(f"{name}: {np.abs(got[real] - want[real]).max():.1e}")
  np.testing.assert_allclose(got[real], want[real], atol=1e-4)

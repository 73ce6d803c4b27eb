"""transformers' Reformer beside ours: its weights, its rotations, its outputs.

For judging, not for exchange: its embeddings have no norm, its streams end in
one norm of both, and our models have another; a folder of it would not come
back as one.
"""

from collections.abc import Mapping, Sequence
import json
from pathlib import Path
import tempfile
from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load_file

from behavior_lm.layers.lsh_attention import LshSelfAttention
from behavior_lm.layers.reversible import Halves
from behavior_lm.models.encoders.reformer import Reformer
from behavior_lm.models.encoders.reformer import ReformerConfig
from experiments.studies.parity.parity import run_peer

Row = dict[str, Any]
# Names of layers there and here, for each comparison.
MIXES = {
    "local layers": ["local", "local"],
    "LSH layers, the rotations handed over": ["lsh", "lsh"],
    "both in turn": ["local", "lsh", "local", "lsh"],
}


def reformer_rows(
    python: str | Path,
    program: str | Path,
    values: Mapping[str, Any],
    lengths: Sequence[int],
) -> list[Row]:
  """Largest differences of hidden states at real tokens.

  Args:
    python: of the environment with transformers.
    program: peers/reformer_outputs.py, which draws weights and tokens.
    values: of its ReformerConfig, but for `attn_layers`.
    lengths: of the rows of tokens; a third of the second row is padding.

  Returns:
    A row for each mix of layers and length.
  """
  cases = {
      f"{mix}.{length}": {
          **values,
          "attn_layers": MIXES[mix],
          "length": length,
          "real": max(1, 2 * length // 3),
      }
      for mix in MIXES
      for length in lengths
  }
  rows = []
  with tempfile.TemporaryDirectory() as place:
    folder = Path(place)
    (folder / "cases.json").write_text(json.dumps(cases))
    run_peer(python, program, folder / "cases.json", folder)
    for name, case in cases.items():
      arrays = load_file(folder / f"{name}.safetensors")
      mix, length = name.rsplit(".", 1)
      real = arrays["mask"] != 0
      differ = np.abs(our_outputs(case, arrays) - arrays["last_hidden_state"])
      rows.append({
          "model": "reformer",
          "compared": f"float32 to float32, {mix}",
          "length": int(length),
          "hidden": float(differ[real].max()),
      })
  return rows


def our_outputs(
    case: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> np.ndarray:
  """What our layers make of their weights, tokens and rotations.

  Args:
    case: of its ReformerConfig.
    arrays: "tokens", "mask", "rotations.0", ... and its weights by their names.

  Returns:
    [batch, length, 2 * hidden_size], both streams behind their norm.
  """
  model: Any = our_model(case)
  fill(model, arrays)
  tokens, mask = (
      jnp.asarray(arrays[name], jnp.int32) for name in ("tokens", "mask")
  )
  length = tokens.shape[1]
  positions = jnp.broadcast_to(jnp.arange(length), tokens.shape)
  keys = []
  count = 0
  for layer in model.layers:
    fixed = layer.attention.draw_rotations(jax.random.key(0), length)
    theirs = arrays.get(f"rotations.{count}")
    if fixed is None or theirs is None:
      # Nothing is hashed: a local layer, or a row of one chunk.
      keys.append(Halves((None, fixed), None))
    else:
      keys.append(Halves((None, jnp.asarray(theirs)), None))
      count += 1
  if f"rotations.{count}" in arrays:
    raise ValueError(f"rotations.{count} and more belong to no layer of ours")
  # Their embeddings are the plain sum of token and position.
  hidden = model.embed.token(tokens) + model.embed.position(positions)
  run = lambda hidden: model.run_streams(
      hidden, keys, segment_ids=mask, positions=positions
  )
  return np.asarray(jax.jit(run)(hidden))


def our_model(case: Mapping[str, Any]) -> Reformer:
  """A model of the sizes of one of theirs, faithful to their code."""
  buckets = case["num_buckets"]
  config = ReformerConfig(
      vocab_size=case["vocab_size"],
      num_layers=len(case["attn_layers"]),
      embed_dim=case["hidden_size"],
      num_heads=case["num_attention_heads"],
      mlp_dim=case["feed_forward_size"],
      max_length=case["max_position_embeddings"],
      time_encoding="none",
      causal=case.get("is_decoder", False),
      attention_layers=tuple(case["attn_layers"]),
      num_hashes=case["num_hashes"],
      chunk_size=case["lsh_attn_chunk_length"],
      num_buckets=tuple(buckets) if isinstance(buckets, list) else buckets,
      activation={"gelu": "gelu", "gelu_new": "gelu_tanh"}[case["hidden_act"]],
      faithful=True,
  )
  return Reformer(config, rngs=nnx.Rngs(0))


def fill(model: Any, arrays: Mapping[str, np.ndarray]) -> None:
  """Puts their weights into our model, a Reformer.

  Raises:
    ValueError: if one of theirs has no place here.
  """
  others = ("rotations.", "tokens", "mask", "last_hidden_state")
  left = {
      name: array
      for name, array in arrays.items()
      if not name.startswith(others) and "mask_value" not in name
  }

  def put_linear(ours: Any, *names: str) -> None:
    kernels = [left.pop(f"{name}.weight").T for name in names]
    ours.kernel[...] = np.concatenate(kernels, 1)
    if ours.bias is not None:
      biases = [left.pop(f"{name}.bias") for name in names]
      ours.bias[...] = np.concatenate(biases)

  def put_norm(ours: Any, name: str) -> None:
    ours.scale[...] = left.pop(f"{name}.weight")
    ours.bias[...] = left.pop(f"{name}.bias")

  token, position = "word_embeddings", "position_embeddings.embedding"
  model.embed.token.embedding[...] = left.pop(f"embeddings.{token}.weight")
  table = left.pop(f"embeddings.{position}.weight")
  model.embed.position.embedding[...] = table
  for number, layer in enumerate(model.layers):
    place = f"encoder.layers.{number}."
    half, within = layer.attention, f"{place}attention.self_attention."
    put_norm(half.norm, f"{place}attention.layer_norm")
    if isinstance(half.attention, LshSelfAttention):
      query_value = half.attention.query_value
      put_linear(query_value, f"{within}query_key", f"{within}value")
    else:
      names = (f"{within}{name}" for name in ("query", "key", "value"))
      put_linear(half.attention.qkv, *names)
    put_linear(half.attention.out, f"{place}attention.output.dense")
    half = layer.feed_forward
    put_norm(half.norm, f"{place}feed_forward.layer_norm")
    put_linear(half.mlp_in, f"{place}feed_forward.dense.dense")
    put_linear(half.mlp_out, f"{place}feed_forward.output.dense")
  put_norm(model.streams_norm, "encoder.layer_norm")
  if left:
    raise ValueError(f"weights without a place here: {sorted(left)}")

"""peft computes the same with the same weights: LoRA, merged LoRA, prefixes."""

import os
from pathlib import Path

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file
from safetensors.numpy import save_file

from behavior_lm.interop.huggingface import read_huggingface
from behavior_lm.interop.huggingface import write_huggingface
from behavior_lm.layers.adapters.lora import add_lora
from behavior_lm.layers.adapters.lora import merge_lora
from behavior_lm.layers.adapters.prefix import add_prefix
from tests.interop.models import make
from tests.peers import REPO
from tests.peers import run_peer

RANK, ALPHA, LENGTH = 4, 16.0, 5


def bert(name, tmp_path):
  """A folder: random weights, or MiniLM where it was unpacked."""
  if name == "tiny":
    write_huggingface(tmp_path / "tiny", make("bert"), head=False)
    return tmp_path / "tiny"
  root = Path(os.environ.get("BEHAVIOR_LM_MINILM", REPO / "runs" / "minilm"))
  found = sorted(root.glob("**/model.safetensors"))
  if not found:
    pytest.skip("no MiniLM: see docs/interop.md, or set BEHAVIOR_LM_MINILM")
  return found[0].parent


def states(encoder, fields):
  graph, state = nnx.split(encoder)
  program = jax.jit(lambda s, f: nnx.merge(graph, s).encode(f))
  with jax.default_matmul_precision("float32"):
    return np.asarray(program(state, fields))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny", "minilm"])
def test_adapters_are_those_of_peft(name, tmp_path):
  folder = bert(name, tmp_path)
  load = lambda: read_huggingface(folder).model.encoder
  plain, rng = load(), np.random.default_rng(0)
  depth, width = len(plain.layers), plain.config.embed_dim
  normal = lambda *shape: np.float32(0.3) * rng.normal(size=shape).astype(
      np.float32
  )
  tokens = rng.integers(5, plain.config.vocab_size, (2, 9)).astype(np.int32)
  mask = np.array([[1] * 9, [1] * 6 + [0] * 3], np.int32)
  case = {
      "tokens": tokens.astype(np.int64),
      "mask": mask.astype(np.int64),
      "alpha": np.full((), ALPHA, np.float32),
  }
  lora = load()
  add_lora(lora, "query|value", RANK, alpha=ALPHA, rngs=nnx.Rngs(0))
  prefixed = load()
  add_prefix(prefixed, LENGTH, shift=True, rngs=nnx.Rngs(0))
  for number in range(depth):
    own = lora.layers[number].attention.qkv
    for place, part in enumerate(("query", "value")):
      a, b = 0.2 * normal(RANK, width), 0.5 * normal(width, RANK)
      case[f"lora.{number}.{part}.a"], case[f"lora.{number}.{part}.b"] = a, b
      ranks = slice(place * RANK, (place + 1) * RANK)
      own.lora_a[...] = own.lora_a[...].at[:, ranks].set(a.T)
      own.lora_b[...] = own.lora_b[...].at[ranks].set(b.T)
    prefix = prefixed.layers[number].attention.prefix
    prefix.keys[...] = jnp.asarray(normal(*prefix.keys.shape))
    prefix.values[...] = jnp.asarray(normal(*prefix.values.shape))
  prefixes = [layer.attention.prefix for layer in prefixed.layers]
  for name_ in ("keys", "values"):
    case[f"prefix.{name_}"] = np.stack(
        [np.asarray(getattr(prefix, name_)[...]) for prefix in prefixes]
    )
  save_file(case, tmp_path / "in")
  run_peer(
      "domain_outputs", "adapters", folder, tmp_path / "in", tmp_path / "out"
  )
  want = load_file(tmp_path / "out")
  fields = {
      "tokens": tokens,
      "segment_ids": mask,
      "positions": np.tile(np.arange(9, dtype=np.int32), (2, 1)),
      "time_gaps": np.zeros_like(tokens),
  }
  got = {"plain": states(plain, fields), "lora": states(lora, fields)}
  merge_lora(lora)
  got |= {"merged": states(lora, fields), "prefix": states(prefixed, fields)}
  known = mask > 0
  for kind, found in got.items():
    assert kind == "plain" or abs(found - got["plain"])[known].max() > 0.01
    np.testing.assert_allclose(
        found[known], want[kind][known], atol=1e-5, err_msg=kind
    )

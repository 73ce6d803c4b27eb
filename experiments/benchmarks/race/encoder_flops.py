"""How many floating point operations an encoder needs, from its own parts.

Read from the model itself: the shapes of its kernels and what its attention
layers say they see. So a new architecture is counted without a line here.
"""

from typing import Any

from flax import nnx
import numpy as np

from behavior_lm.attention.hashing import check_buckets
from behavior_lm.attention.spec import AttentionSpec

# The backward pass makes two products for each of the forward pass. What is
# computed again to save memory is no progress, and is not counted.
TRAINING = 3.0
# Linear layers that act on each state alone, behind attention.
_AFTER_ATTENTION = ("out", "mlp_in", "mlp_out")


def forward_flops(
    model: Any, *, batch_size: int, length: int, num_predicted: int
) -> float:
  """Floating point operations of the matrix products of a forward pass.

  Two for each multiply-add. Counted: projections, attention, feed-forward and
  the head; not counted: norms, softmax, embeddings. Attention counts the pairs
  that are needed (see `attended_pairs`), not those that a kernel computes
  besides; behind its attention the last layer counts where the head predicts,
  and with dense attention before as well. Rows are full, of one segment.

  Args:
    model: a `LanguageModel`, abstract (`nnx.eval_shape`) or not.
    batch_size, length: of the batch.
    num_predicted: positions of the batch where the head predicts.
  """
  encoder, tokens = model.encoder, batch_size * length
  config = encoder.config
  # Layers that share weights run several times.
  repeats = config.num_layers / len(encoder.layers)
  last = len(encoder.layers) - 1
  modules = dict(nnx.iter_modules(encoder))
  products = num_predicted * config.vocab_size * (
      config.embedding_dim or config.embed_dim
  )
  products += num_predicted * sum(size for _, size in _kernels(model.head))
  for path, size in _kernels(encoder):
    if path == ("join", "kernel"):
      products += num_predicted * size
      continue
    if path[0] != "layers":
      products += tokens * size
      continue
    few = num_predicted if path[1] == last else tokens
    products += size * _rows(
        str(path[-2]), modules[path[:-2]], batch_size, tokens, few, repeats
    )
  for path, module in modules.items():
    spec = getattr(module, "spec", None)
    if isinstance(spec, AttentionSpec):
      # Two products, scores and mixed values, over all heads together.
      pairs = 2 * attended_pairs(spec, length) * config.embed_dim
      hashing = _hashing(spec, length) * config.embed_dim
      if getattr(module, "folds_globals", False):
        # Each head of the global token meets hidden states as they are.
        pairs += 2 * length * (config.num_heads - 1) * config.embed_dim
      runs = repeats
      if spec.kind == "dense" and path[1] == last:
        runs += num_predicted / tokens - 1
      products += batch_size * (runs * pairs + repeats * hashing)
  return 2.0 * products


def _kernels(module: Any) -> list[tuple[tuple[Any, ...], float]]:
  """Path and size of the kernel of each linear layer."""
  flat = nnx.to_flat_state(nnx.state(module, nnx.Param))
  return [
      (path, float(np.prod(value.shape)))
      for path, value in flat
      if path[-1] == "kernel"
  ]


def _rows(
    name: str,
    owner: Any,
    batch_size: int,
    tokens: int,
    few: int,
    repeats: float,
) -> float:
  """Rows that meet a kernel of a layer, over all its runs.

  Args:
    name: of the linear layer.
    owner: the module it belongs to.
    batch_size, tokens: of the batch.
    few: tokens whose states the layer's last run makes.
    repeats: how often the layer runs.
  """
  folds = name == "global_key_value" and owner.folds_globals
  if name == "global_query" or folds:
    return batch_size * repeats
  if name in _AFTER_ATTENTION:
    return tokens * (repeats - 1) + few
  if name == "qkv" and owner.spec.kind == "dense":
    # A third of the kernel makes queries.
    return tokens * (repeats - 1 / 3) + few / 3
  return tokens * repeats


def attended_pairs(spec: AttentionSpec, length: int) -> int:
  """Pairs of query and key that a row of one segment needs, for one head.

  "dense": all; causal: half. "sliding_window": those of the mask, its first
  token global if the spec allows any. "lsh": in each round a token meets its
  chunk and the one before, whoever is in them; "chunked": once, so.
  """
  offsets = np.arange(length)
  if spec.kind == "dense":
    return int((offsets + 1).sum()) if spec.causal else length**2
  if spec.kind in ("lsh", "chunked"):
    if length <= spec.chunk_size:
      return length**2
    rounds = spec.num_hashes if spec.kind == "lsh" else 1
    return rounds * length * 2 * spec.chunk_size
  steps, window = spec.dilation, spec.window_size
  seen = 1 + np.minimum(offsets // steps, window)
  if not spec.causal:
    seen += np.minimum((length - 1 - offsets) // steps, window)
  if spec.max_globals:
    seen += (offsets % steps != 0) | (offsets // steps > window)
    seen[0] = 1 if spec.causal else length
  return int(seen.sum())


def _hashing(spec: AttentionSpec, length: int) -> float:
  """Multiply-adds of a row's rotations, for each number of a vector."""
  if spec.kind != "lsh" or length <= spec.chunk_size:
    return 0.0
  # A rotation names two buckets, one for each of its directions.
  buckets = sum(check_buckets(spec.buckets(length)))
  return length * spec.num_hashes * buckets / 2

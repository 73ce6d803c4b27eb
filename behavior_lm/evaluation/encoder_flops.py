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


def forward_flops(
    model: Any, *, batch_size: int, length: int, num_predicted: int
) -> float:
  """Floating point operations of the matrix products of a forward pass.

  Two for each multiply-add. Counted: projections, attention, feed-forward and
  the head; not counted: norms, softmax, embeddings. Attention counts the pairs
  that are needed (see `attended_pairs`), not those that a kernel computes
  besides. Rows are full, of one segment.

  Args:
    model: an encoder, abstract (`nnx.eval_shape`) or not.
    batch_size, length: of the batch.
    num_predicted: positions of the batch where the head predicts.
  """
  config, tokens = model.config, batch_size * length
  # Layers that share weights run several times.
  repeats = config.num_layers / len(model.layers)
  folding = {
      path
      for path, module in nnx.iter_modules(model)
      if getattr(module, "folds_globals", False)
  }
  products = 0.0
  for path, value in nnx.to_flat_state(nnx.state(model, nnx.Param)):
    if path[-1] != "kernel":
      continue
    if path[0] == "head":
      rows: float = num_predicted
    elif "global_query" in path or (
        "global_key_value" in path and path[:-2] in folding
    ):
      rows = batch_size * repeats
    else:
      rows = tokens * (repeats if path[0] == "layers" else 1)
    products += rows * float(np.prod(value.shape))
  table = config.embedding_dim or config.embed_dim
  products += num_predicted * config.vocab_size * table
  for _, module in nnx.iter_modules(model):
    spec = getattr(module, "spec", None)
    if isinstance(spec, AttentionSpec):
      # Two products, scores and mixed values, over all heads together.
      pairs = 2 * attended_pairs(spec, length) * config.embed_dim
      hashing = _hashing(spec, length) * config.embed_dim
      if getattr(module, "folds_globals", False):
        # Each head of the global token meets hidden states as they are.
        pairs += 2 * length * (config.num_heads - 1) * config.embed_dim
      products += batch_size * repeats * (pairs + hashing)
  return 2.0 * products


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

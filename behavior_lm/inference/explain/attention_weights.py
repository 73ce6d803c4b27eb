"""Which events each event of a history attends to, in a trained model."""

from typing import Any, NamedTuple

import jax
import numpy as np

from behavior_lm.common.errors import UserError
from behavior_lm.data.fields import Batch
from behavior_lm.inference.embedder import Embedder
from behavior_lm.training.state import merge_model


class AttentionWeights(NamedTuple):
  """What one layer attends to in one history.

  Attributes:
    tokens: [length] names, the first is [CLS].
    weights: [num_heads, length, length] float32: how much the token across
      weighs in what the token down gets. A row sums to 1.
  """

  tokens: list[str]
  weights: np.ndarray


def attention_weights(
    embedder: Embedder, sequence: Any, layer: int | None = None
) -> AttentionWeights:
  """The weights of one layer of the model, measured of its own kernel.

  They say what the layer looked at, not what the prediction rests on: see
  `inference.explain.attribution` for that.

  Args:
    embedder: of a pretrained run, of any architecture.
    sequence: one history in any form that `Embedder.encode` reads, or a frame
      of one user. The model reads its last tokens, as many as fit.
    layer: 1 to num_layers; negative counts from the last one, which is -1 and
      None.

  Raises:
    UserError: if the history cannot be read, or there is no such layer.
  """
  number = embedder.layer_number(layer)
  if number == 0:
    raise UserError(
        "layer 0 is the embeddings, which attend to nothing; give 1 to"
        f" {embedder.num_layers}."
    )
  is_frame = hasattr(sequence, "columns")
  batch = embedder.inputs(sequence if is_frame else [sequence])
  if len(batch["tokens"]) != 1:
    raise UserError(
        f"the frame has {len(batch['tokens'])} users; give the events of one."
    )
  run = embedder.run

  @jax.jit
  def program(state: dict[str, Any], batch: Batch) -> jax.Array:
    model = merge_model(run.graphdef, state["params"], state["model_state"])
    weights: jax.Array = model.encoder.attention_weights(batch, number)
    return weights

  size = int((batch["segment_ids"][0] > 0).sum())
  names = embedder.tokenizer.tokens
  return AttentionWeights(
      [names[token] for token in batch["tokens"][0, :size]],
      np.asarray(program(run.state, batch))[0, :, :size, :size],
  )

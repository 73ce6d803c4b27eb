"""For which events a model reads the time: how far its time gate opens."""

import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.inference.embedder import Embedder
from behavior_lm.layers.time_encoding import TimeGate
from behavior_lm.logs import schema


def token_gates(embedder: Embedder) -> pl.DataFrame:
  """The time gate of each token of the vocabulary, sigmoid(W e + b).

  The gate depends on the token alone, not on the gap: it says how much of the
  gap's vector is added to the token's.

  Args:
    embedder: of a run whose time encoding is a gate, `time=gate` or gate_...

  Returns:
    token, its name; gate, the mean over the width of the embedding; low and
    high, its least and largest number there. All lie between 0 (the time is
    not read) and 1. The widest gate is first; special tokens are left out.

  Raises:
    UserError: if the model has no gate.
  """
  embed = embedder.run.model.encoder.embed
  if not isinstance(embed.time, TimeGate):
    raise UserError(
        f"the time encoding is {embedder.config.model.time_encoding!r}, which"
        " has no gate; train with --config configs/pretrain.py:time=gate."
    )
  table = embed.token.embedding[...][schema.NUM_SPECIAL :]
  gates = np.asarray(embed.time.opening(table))
  found = pl.DataFrame({
      "token": embedder.tokenizer.tokens[schema.NUM_SPECIAL :],
      "gate": gates.mean(1),
      "low": gates.min(1),
      "high": gates.max(1),
  })
  return found.sort("gate", descending=True, maintain_order=True)

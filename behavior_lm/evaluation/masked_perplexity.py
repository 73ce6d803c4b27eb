"""Masked perplexity, accuracy and bits per raw event under one fixed mask."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
import ml_collections
import numpy as np

from behavior_lm.artifacts.scores import SequenceScores
from behavior_lm.common.errors import UserError
from behavior_lm.data.hidden_events import EvalAnnotations
from behavior_lm.data.pipeline import Batch
from behavior_lm.data.pipeline import make_loader
from behavior_lm.data.time_features import NO_EVENT as HIDDEN_FEATURE
from behavior_lm.data.time_gaps import HIDDEN_GAP
from behavior_lm.data.tokenizers import Tokenizer
from behavior_lm.logs import schema
from behavior_lm.logs.dataset import Dataset
from behavior_lm.objectives.cross_entropy import token_scores
from behavior_lm.recipes import pretrain as build
from behavior_lm.training.sharding import put_batch
from behavior_lm.training.state import merge_model

_SLOTS = 32  # predicted positions a row come in multiples of this


class MaskedPerplexity:
  """Scores a model on a split; every masked token is hidden, with its gap.

  No masked token is left unchanged or randomised here, unlike in training: a
  model that may copy the answer in a tenth of the cases is not comparable to
  a baseline that may not.

  Args:
    config: of the run.
    dataset: whose split is scored.
    tokenizer: of the run.
    graphdef: of the model.
    mesh: devices.
    split: its name; `config.eval.split` when None.
    spans_of: see `EvalAnnotations`.
  """

  def __init__(
      self,
      config: ml_collections.ConfigDict,
      dataset: Dataset,
      tokenizer: Tokenizer,
      graphdef: Any,
      mesh: Mesh,
      split: str | None = None,
      spans_of: Tokenizer | None = None,
  ) -> None:
    self.split = split or config.eval.split
    if self.split not in dataset.splits:
      raise UserError(
          f"the dataset has no split {self.split!r}, only"
          f" {sorted(dataset.splits)}. Set --config.eval.split, or empty for"
          " no evaluation; --split_time of prepare.py makes a 'test' split."
      )
    self._users = dataset.sequences(self.split)["user_id"].to_numpy()
    self._windows = build.build_scored_windows(
        config,
        dataset,
        tokenizer,
        self.split,
        EvalAnnotations(
            dataset,
            tokenizer,
            config.eval.mask_rate,
            config.eval.mask_seed,
            spans_of,
        ),
    )
    self._features = build.feature_names(config)
    self._spec = build.batch_spec(config)
    self._mesh = mesh
    self._score = jax.jit(make_score(graphdef))

  def run(self, params: Any) -> Iterator[tuple[str, float]]:
    """(name, value) pairs: perplexity, accuracy, bits_per_event."""
    yield from self.scores(params).summary().items()

  def scores(self, params: Any) -> SequenceScores:
    """Sums over the masked events of each sequence."""
    size = len(self._users)
    nats, correct, hidden, count, events = (np.zeros(size) for _ in range(5))
    loader = iter(
        make_loader(
            self._windows,
            self._spec,
            shuffle=False,
            num_epochs=1,
            drop_remainder=False,
        )
    )
    try:
      for batch in loader:
        at, valid = masked_offsets(batch["masked"])
        truth = np.take_along_axis(batch["tokens"], at, 1)
        inputs = hide_masked(batch, self._features)
        got = self._score(
            params,
            put_batch(inputs, self._mesh),
            put_batch({"at": at, "tokens": truth}, self._mesh),
        )
        where = np.take_along_axis(batch["sequence"], at, 1)[valid]
        spelled = np.take_along_axis(batch["hidden_bits"], at, 1)[valid]
        spanned = np.take_along_axis(batch["num_events"], at, 1)[valid]
        add = lambda out, values, where=where: np.add.at(out, where, values)
        add(nats, np.asarray(got[0], np.float64)[valid])
        add(correct, np.asarray(got[1], np.float64)[valid])
        add(hidden, spelled)
        add(count, 1.0)
        add(events, spanned)
    finally:
      loader.close()
    if not count.sum():
      raise UserError(
          f"split {self.split!r} has too few events for any to be masked."
      )
    return SequenceScores(
        nats, correct, hidden, count, events, self._users
    )


def make_evaluators(
    config: ml_collections.ConfigDict,
    dataset: Dataset,
    tokenizer: Any,
    graphdef: Any,
    mesh: Mesh,
) -> dict[str, MaskedPerplexity]:
  """What a pretraining run evaluates; nothing without `eval.split`."""
  if not config.eval.split:
    return {}
  evaluator = MaskedPerplexity(config, dataset, tokenizer, graphdef, mesh)
  return {config.eval.split: evaluator}


def hide_masked(batch: Batch, features: Sequence[str] = ()) -> Batch:
  """Model inputs: masked tokens hidden with all they carry; no annotation."""
  masked = batch["masked"] > 0
  inputs = {
      name: batch[name] for name in ("positions", "segment_ids", "times")
  }
  inputs["tokens"] = np.where(masked, schema.MASK_ID, batch["tokens"]).astype(
      np.int32
  )
  inputs["time_gaps"] = np.where(
      masked, HIDDEN_GAP, batch["time_gaps"]
  ).astype(np.int32)
  for name in features:
    values = batch[name]
    hidden = np.nan if values.dtype.kind == "f" else HIDDEN_FEATURE
    inputs[name] = np.where(masked, hidden, values).astype(values.dtype)
  return inputs


def masked_offsets(masked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """[batch, length] flags -> offsets [batch, n] int32, valid [batch, n].

  n is a multiple of 32, so that few shapes are compiled.
  """
  counts = (masked > 0).sum(1)
  slots = max(_SLOTS, -(-int(counts.max()) // _SLOTS) * _SLOTS)
  at = np.zeros((len(masked), slots), np.int32)
  for row, flags in enumerate(masked):
    at[row, : counts[row]] = np.flatnonzero(flags)
  return at, np.arange(slots) < counts[:, None]


def make_score(graphdef: Any) -> Any:
  """A pure function (params, inputs, targets) -> nats and hits at `at`."""

  def score(
      params: Any, inputs: Mapping[str, jax.Array], targets: Any
  ) -> tuple[jax.Array, jax.Array]:
    model = merge_model(graphdef, params)
    outputs = model(inputs, deterministic=True, predict_at=targets["at"])
    head = dict(outputs["head"])
    # A special token is never the answer, and no baseline has counted one;
    # UNK stands for events that happened and stays.
    token = jnp.arange(head["bias"].shape[0])
    special = (token < schema.NUM_SPECIAL) & (token != schema.UNK_ID)
    head["bias"] = jnp.where(special, -1e30, head["bias"])
    return token_scores(head, targets["tokens"])

  return score

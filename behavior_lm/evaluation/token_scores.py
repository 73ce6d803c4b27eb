"""Scores of a language model's tokens, summed by sequence."""

from collections.abc import Callable, Iterator, Mapping
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
import numpy as np

from behavior_lm.artifacts.scores import SequenceScores
from behavior_lm.common.errors import UserError
from behavior_lm.data.fields import Batch
from behavior_lm.data.packed_rows import RowSource
from behavior_lm.data.pipeline import BatchSpec
from behavior_lm.data.pipeline import make_loader
from behavior_lm.data.reading import Reading
from behavior_lm.data.token_lengths import token_lengths
from behavior_lm.data.token_source import Annotate
from behavior_lm.data.token_source import open_tokens
from behavior_lm.data.tokenizers import Tokenizer
from behavior_lm.data.windows import WindowSource
from behavior_lm.logs import schema
from behavior_lm.logs.dataset import Dataset
from behavior_lm.objectives.cross_entropy import token_scores
from behavior_lm.objectives.gap_mixture import gap_nll
from behavior_lm.training.sharding import put_batch
from behavior_lm.training.state import merge_model

# (head, targets) -> arrays [batch, n].
HeadScores = Callable[
    [Mapping[str, jax.Array], Mapping[str, jax.Array]], tuple[jax.Array, ...]
]
_SLOTS = 32  # predicted positions of a row come in multiples of this


@dataclasses.dataclass(frozen=True)
class Subject:
  """A language model, what it reads, and the data that it is scored on.

  Attributes:
    dataset, tokenizer: of the scored sequences; the tokenizer is the model's.
    reading: what the model reads beside its tokens.
    spec: shape of a batch.
    names: fields that the model reads.
    graphdef: of the model.
    mesh: devices.
  """

  dataset: Dataset
  tokenizer: Tokenizer
  reading: Reading
  spec: BatchSpec
  names: tuple[str, ...]
  graphdef: Any
  mesh: Mesh

  def users(self, split: str) -> np.ndarray:
    """[num_sequences] user of each sequence.

    Raises:
      UserError: if there is no such split.
    """
    if split not in self.dataset.splits:
      raise UserError(
          f"the dataset has no split {split!r}, only"
          f" {sorted(self.dataset.splits)}. Name one of them in"
          " --config.evals.NAME.split; --split_time of prepare.py makes a"
          " 'test' split."
      )
    users: np.ndarray = self.dataset.sequences(split)["user_id"].to_numpy()
    return users

  def windows(
      self, split: str, annotate: Annotate, **options: Any
  ) -> WindowSource:
    """The windows of a split, cut at the same places in every evaluation.

    Args:
      split: its name.
      annotate: adds what an evaluator reads beside the tokens.
      **options: `history` and `stride` of `WindowSource`.
    """
    tokens = open_tokens(
        self.dataset, split, self.tokenizer, self.reading, annotate
    )
    return WindowSource(
        tokens,
        token_lengths(self.dataset, split, tokens),
        max_length=self.spec.max_length,
        move_cuts=False,
        **options,
    )


def sum_scores(
    subject: Subject,
    windows: WindowSource,
    score: Any,
    state: Mapping[str, Any],
    users: np.ndarray,
    *,
    find: Callable[[Batch], np.ndarray],
    inputs: Callable[[Batch], Batch],
    shift: int = 0,
    target: str = "tokens",
) -> SequenceScores:
  """Scores every token that `find` marks.

  Args:
    subject: the model.
    windows: annotated by `data.hidden_events.SpelledBits`.
    score: of `make_score`, compiled; its two arrays are summed as `nats` and
      `correct`.
    state: parameters and variables of the model.
    users: [num_sequences] user of each sequence.
    find: batch -> [batch, length], true where a token is scored.
    inputs: batch -> what the model reads.
    shift: a token is predicted at so many places before its own.
    target: the field that is predicted.
  """
  size = len(users)
  sums = {name: np.zeros(size) for name in ("nats", "correct", "hidden_bits")}
  count, events = np.zeros(size), np.zeros(size)
  for batch in fixed_batches(subject, windows):
    at, valid = marked_offsets(find(batch))
    pick = lambda name, batch=batch, at=at: np.take_along_axis(
        batch[name], at, 1
    )
    targets = {"at": np.maximum(at - shift, 0), target: pick(target)}
    nats, correct = score(
        state["params"],
        state["model_state"],
        put_batch(inputs(batch), subject.mesh),
        put_batch(targets, subject.mesh),
    )
    where = pick("sequence")[valid]
    for out, values in (
        (sums["nats"], np.asarray(nats, np.float64)),
        (sums["correct"], np.asarray(correct, np.float64)),
        (sums["hidden_bits"], pick("hidden_bits")),
        (count, np.ones(at.shape)),
        (events, pick("num_events")),
    ):
      np.add.at(out, where, values[valid])
  return SequenceScores(
      **sums, count=count, num_events=events, users=users
  )


def fixed_batches(
    subject: Subject, windows: WindowSource, segments: int | None = None
) -> Iterator[dict[str, np.ndarray]]:
  """All windows once, packed in rows, in one order; a short batch is filled.

  Args:
    subject: says the shape of a batch.
    windows: what is read.
    segments: windows of a row at most; None is as many as the subject has.
  """
  rows = RowSource(
      windows,
      subject.spec.max_length,
      segments or subject.spec.segments,
      shuffle=False,
      repeat=False,
  )
  loader = iter(make_loader(rows, subject.spec, drop_remainder=False))
  try:
    yield from loader
  finally:
    loader.close()


def marked_offsets(marked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """[batch, length] flags -> offsets [batch, n] int32, valid [batch, n].

  n is a multiple of 32, so that few shapes are compiled.
  """
  counts = (marked > 0).sum(1)
  slots = max(_SLOTS, -(-int(counts.max()) // _SLOTS) * _SLOTS)
  at = np.zeros((len(marked), slots), np.int32)
  for row, flags in enumerate(marked):
    at[row, : counts[row]] = np.flatnonzero(flags)
  return at, np.arange(slots) < counts[:, None]


def make_score(graphdef: Any, scores: HeadScores | None = None) -> Any:
  """A pure function (params, model_state, inputs, targets) -> arrays.

  Products are computed in full float32: an accelerator's shorter ones would
  make figures of machines that do not compare.

  Args:
    graphdef: of the model, which is asked at `targets["at"]`.
    scores: what is computed of the model's head; None is `event_scores`.
  """
  of_head = scores or event_scores

  def score(
      params: Any,
      model_state: Any,
      inputs: Mapping[str, jax.Array],
      targets: Mapping[str, jax.Array],
  ) -> tuple[jax.Array, ...]:
    with jax.default_matmul_precision("float32"):
      model = merge_model(graphdef, params, model_state)
      return of_head(model(inputs, targets["at"]), targets)

  return score


def event_scores(
    head: Mapping[str, jax.Array], targets: Mapping[str, jax.Array]
) -> tuple[jax.Array, jax.Array]:
  """[batch, n] nats and hits of `tokens`."""
  # A special token is never the answer, and no baseline has counted one; UNK
  # stands for events that happened and stays.
  token = jnp.arange(head["bias"].shape[0])
  special = (token < schema.NUM_SPECIAL) & (token != schema.UNK_ID)
  bias = jnp.where(special, -1e30, head["bias"])
  return token_scores({**head, "bias": bias}, targets["tokens"])


def event_and_gap_scores(
    head: Mapping[str, jax.Array], targets: Mapping[str, jax.Array]
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """`event_scores`, and the nats of `gaps` [batch, n], in 100 ms.

  The model has a head for gaps (`objectives.next_events`, gap_weight).
  """
  gap_nats = gap_nll(head["gap_mixture"], targets["gaps"])
  return *event_scores(head, targets), gap_nats

"""Sequences -> arrays that a model reads at once, one sequence a row."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
import itertools

import numpy as np

from behavior_lm.data.fields import Batch
from behavior_lm.data.fields import Field
from behavior_lm.data.fields import padding
from behavior_lm.data.token_source import Fields
from behavior_lm.data.windows import cut_window
from behavior_lm.inference.batching import bucket_lengths


def last_windows(
    sequences: Sequence[Fields],
    names: Sequence[str],
    table: Mapping[str, Field],
    *,
    max_length: int,
    batch_size: int = 0,
) -> Batch:
  """The last tokens of each sequence, behind a CLS.

  Args:
    sequences: of a `Reader`, with at least one token each.
    names: fields that the model reads.
    table: of the fields.
    max_length: tokens of the model, CLS included.
    batch_size: rows of the arrays; those after the sequences are padding. 0 is
      as many as there are sequences.

  Returns:
    {name: [rows, length]}; the length is the smallest of few that holds all.
  """
  sizes = [min(len(s["tokens"]), max_length - 1) for s in sequences]
  longest = max(sizes, default=0) + 1
  length = next(n for n in bucket_lengths(max_length) if n >= longest)
  shape = (batch_size or len(sequences), length)
  out = {name: padding(name, shape, table) for name in names}
  for row, (sequence, size) in enumerate(zip(sequences, sizes, strict=True)):
    end = len(sequence["tokens"])
    read = {name: sequence[name] for name in names if name in sequence}
    window = cut_window(read, end - size, end, table) | {
        "positions": np.arange(size + 1),
        "segment_ids": np.ones(size + 1, np.int32),
    }
    for name in names:
      out[name][row, : size + 1] = window[name]
  return out


def groups(
    sequences: Iterable[Fields], size: int
) -> Iterator[tuple[Fields, ...]]:
  """So many sequences at a time; the last group may be smaller."""
  return itertools.batched(sequences, size)

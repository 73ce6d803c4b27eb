"""Prompts as packed rows of tokens, with labels for each of them."""

from collections.abc import Mapping, Sequence

import numpy as np

from behavior_lm.data.fields import Field
from behavior_lm.data.fields import FIELDS
from behavior_lm.data.packed_rows import RowSource
from behavior_lm.data.text import TextTokenizer


class PromptWindows:
  """One window per prompt, see `data.windows.WindowSource`.

  Args:
    tokens: ids of each prompt, whole.
    seed: of the order of rows.
  """

  table: Mapping[str, Field] = FIELDS
  num_plans = 1

  def __init__(self, tokens: Sequence[np.ndarray], *, seed: int = 0):
    self.seed = seed
    self._ends = np.cumsum([len(one) for one in tokens])
    self._tokens = np.concatenate([*tokens, np.zeros(0, np.int32)])
    self._lengths = np.diff(self._ends, prepend=0)

  @property
  def capacity(self) -> int:
    """Tokens of the longest prompt behind its first one."""
    return int(self._lengths.max()) - 1

  def lengths(self, epoch: int) -> np.ndarray:
    """[prompts] tokens of each."""
    del epoch
    return self._lengths

  def locate(self, epoch: int, number: int) -> tuple[int, int, int]:
    """A window -> (prompt, first token, end token)."""
    del epoch
    return number, 0, int(self._lengths[number])

  def read(self, epoch: int, number: int) -> dict[str, np.ndarray]:
    """`tokens`, and time gaps of 0, which a model of events would read."""
    del epoch
    end = int(self._ends[number])
    tokens = self._tokens[end - int(self._lengths[number]) : end]
    return {"tokens": tokens, "time_gaps": np.zeros_like(tokens)}


def encode_prompts(
    prompts: Sequence[str],
    tokenizer: TextTokenizer,
    max_length: int,
    *,
    soft_ids: Sequence[int] = (),
) -> list[np.ndarray]:
  """Token ids of prompts: CLS, soft prompt, text, SEP.

  Args:
    prompts: texts; those that are too long lose their end.
    tokenizer: of the language model.
    max_length: tokens of a prompt at most, all included.
    soft_ids: of the places of a soft prompt, see `layers.adapters.soft_prompt`.

  Raises:
    ValueError: if no token of text would have room.
  """
  room = max_length - 2 - len(soft_ids)
  if room < 1:
    raise ValueError(
        f"max_length {max_length} leaves no room for text beside 2 special"
        f" tokens and a soft prompt of {len(soft_ids)}"
    )
  return [
      np.array(
          [tokenizer.cls_id, *soft_ids, *ids[:room], tokenizer.sep_id], np.int32
      )
      for ids in tokenizer.encode(prompts)
  ]


def prompt_rows(
    tokens: Sequence[np.ndarray],
    labels: np.ndarray,
    *,
    max_length: int,
    max_segments: int,
    seed: int = 0,
    train: bool = True,
) -> RowSource:
  """Packed rows of prompts.

  Args:
    tokens: see `encode_prompts`.
    labels: [n, columns] float32.
    max_length, max_segments: of a row.
    seed: of the order of rows.
    train: shuffle, without end; otherwise the rows once, in order.

  Returns:
    Rows with `labels`, `weights` and `sample`, as `data.labelled_rows` makes.
  """
  return RowSource(
      PromptWindows(tokens, seed=seed),
      max_length,
      max_segments,
      shuffle=train,
      repeat=train,
      of_sequences={
          "labels": labels.astype(np.float32),
          "weights": np.ones(len(tokens), np.float32),
          "sample": np.arange(len(tokens), dtype=np.int32),
      },
  )

"""How many tokens each sequence has; windows are laid out by it."""

import contextlib
import os
from pathlib import Path

import numpy as np

from behavior_lm.data.token_source import TokenSource
from behavior_lm.logs.dataset import Dataset

FOLDER = "token_lengths"


def token_lengths(
    dataset: Dataset, split: str, tokens: TokenSource
) -> np.ndarray:
  """[num_sequences] int64 tokens of each sequence of a split.

  Where tokens are events nothing is read. Otherwise every sequence is encoded
  once (millions of events a second) and the result is kept in the dataset's
  folder, under the tokenizer's fingerprint; a folder that cannot be written
  only costs that time again.
  """
  if tokens.tokenizer.one_token_an_event:
    return dataset.sequences(split)["num_events"].to_numpy()
  name = f"{split}-{tokens.tokenizer.fingerprint[:16]}.npy"
  file = dataset.path / FOLDER / name
  found = _read(file, len(tokens))
  if found is None:
    found = np.fromiter(
        (_count(tokens, index) for index in range(len(tokens))),
        np.int64,
        len(tokens),
    )
    _write(file, found)
  return found


def _count(tokens: TokenSource, index: int) -> int:
  example = tokens.source[index]
  units = tokens.unit_of_pair[example["pair"]]
  return len(tokens.tokenizer.tokenise(units, example["timestamp"]))


def _read(file: Path, size: int) -> np.ndarray | None:
  try:
    found = np.load(file, allow_pickle=False)
  except (OSError, ValueError, EOFError):
    return None  # Not there, or cut off: counted anew.
  good = found.shape == (size,) and found.dtype == np.int64
  return found if good else None


def _write(file: Path, lengths: np.ndarray) -> None:
  temporary = file.with_name(f"{file.stem}.{os.getpid()}.tmp.npy")
  try:
    file.parent.mkdir(exist_ok=True)
    np.save(temporary, lengths)
    temporary.replace(file)
  except OSError:
    with contextlib.suppress(OSError):
      temporary.unlink()

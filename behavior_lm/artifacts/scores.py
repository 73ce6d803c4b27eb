"""Scores by sequence, and on disk: what was scored once is not scored again."""

from collections.abc import Callable, Mapping
import dataclasses
import math
from pathlib import Path
import zipfile

import numpy as np

from behavior_lm.common.errors import UserError
from behavior_lm.common.files import whole_file


@dataclasses.dataclass(frozen=True)
class SequenceScores:
  """Sums over the masked events of each sequence, all arrays [num_sequences].

  Attributes:
    nats: negative log likelihood of the true tokens.
    correct: top-1 hits.
    hidden_bits: what the tokens cannot say, spelled out (the same for every
      model over one tokenizer).
    count: masked tokens.
    num_events: raw events that they span.
    users: user ids.
  """

  nats: np.ndarray
  correct: np.ndarray
  hidden_bits: np.ndarray
  count: np.ndarray
  num_events: np.ndarray
  users: np.ndarray

  def summary(self) -> dict[str, float]:
    """Perplexity per token, and each of `ratios` over all sequences."""
    nats = self.nats.sum() / self.count.sum()
    return {
        "perplexity": math.exp(min(nats, 700.0)),
        **{
            name: float(sums.sum() / weights.sum())
            for name, (sums, weights) in self.ratios.items()
        },
    }

  @property
  def ratios(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Name of a measure -> (sums, weights), each [num_sequences].

    Accuracy is per token. Bits are per raw event: `bits_per_event` is the sum
    of `token_bits_per_event` and `charge_per_event`, which is the charge for
    spelling out what the vocabulary leaves out.
    """
    return {
        "accuracy": (self.correct, self.count),
        "bits_per_event": (self.bits, self.num_events),
        "token_bits_per_event": (self.token_bits, self.num_events),
        "charge_per_event": (self.hidden_bits, self.num_events),
    }

  @property
  def token_bits(self) -> np.ndarray:
    """Bits of each sequence's predicted tokens, without the charge."""
    return self.nats / math.log(2)

  @property
  def bits(self) -> np.ndarray:
    """Bits of each sequence's events: those of the tokens and the charge."""
    return self.token_bits + self.hidden_bits


_FIELDS = tuple(field.name for field in dataclasses.fields(SequenceScores))


def save_scores(path: Path, scores: Mapping[str, SequenceScores]) -> None:
  """Writes scores by name to one .npz file, whole or not at all."""
  arrays = {
      f"{number}.{field}": np.asarray(getattr(one, field))
      for number, one in enumerate(scores.values())
      for field in _FIELDS
      if field != "users"
  }
  # Texts as NumPy keeps them: objects would have to be pickled.
  users = {
      f"{number}.users": np.asarray(one.users, str)
      for number, one in enumerate(scores.values())
  }
  path.parent.mkdir(parents=True, exist_ok=True)
  with whole_file(path) as temporary, temporary.open("wb") as file:
    np.savez(
        file,
        allow_pickle=False,
        names=np.asarray(list(scores), str),
        **arrays,
        **users,
    )


def load_scores(path: Path) -> dict[str, SequenceScores]:
  """Reads what `save_scores` wrote, in its order.

  Raises:
    UserError: if the file is missing or damaged.
  """
  if not path.exists():
    raise UserError(f"{path}: is missing; delete {path.parent} and run again.")
  try:
    with np.load(path, allow_pickle=False) as file:
      return {
          str(name): SequenceScores(
              **{field: file[f"{number}.{field}"] for field in _FIELDS}
          )
          for number, name in enumerate(file["names"])
      }
  except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
    raise UserError(
        f"{path}: is damaged ({error}). Delete it; it is made again."
    ) from error


def kept(
    path: Path, make: Callable[[], Mapping[str, SequenceScores]]
) -> dict[str, SequenceScores]:
  """The scores of a file; made, and written there, if it is not there."""
  if not path.exists():
    save_scores(path, make())
  return load_scores(path)

"""How many of the events that were read a model knows."""

import warnings

import numpy as np

# A warning is given if a smaller share of the events is known with its design,
# or a larger share is unknown.
_FEW, _MANY = 0.2, 0.2


class KnownEvents:
  """Counts events by what a vocabulary knows of them."""

  def __init__(self) -> None:
    self._exact = self._alone = self._unknown = 0

  def add(self, units: np.ndarray, num_alone: int) -> None:
    """Counts the events of a sequence.

    Args:
      units: [n] int32 of an alphabet, -1 = unknown.
      num_alone: units that are events alone, the first of the alphabet.
    """
    unknown = int((units < 0).sum())
    exact = int((units >= num_alone).sum())
    self._exact += exact
    self._unknown += unknown
    self._alone += len(units) - exact - unknown

  def warn(self) -> None:
    """Warns if a model knew little of the events since the last call."""
    counts = self._exact, self._alone, self._unknown
    self._exact = self._alone = self._unknown = 0
    total = sum(counts)
    if not total:
      return
    exact, alone, unknown = (count / total for count in counts)
    if exact >= _FEW and unknown <= _MANY:
      return
    warnings.warn(
        f"of {total:,} events the model knows {exact:.1%} with their design,"
        f" {alone:.1%} by their event alone and {unknown:.1%} not at all. Are"
        " the ids written as in the log that it was trained on, and is"
        " design_id given?",
        stacklevel=2,
    )

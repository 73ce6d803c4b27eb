"""What a mixture of neighbour counts looks at: places, subsets, experts.

The places are the four nearest neighbours of an event. The time to one of the
nearest two may be known too: its bucket is one more place, `GAP`, beside the
subsets that hold that neighbour.
"""

import dataclasses
import functools
import itertools

import numpy as np

# Places of the neighbours, nearest first. The order fixes the codes only.
OFFSETS = (-1, 1, -2, 2)
# The place of the gap, where no neighbour stands.
GAP = 0
# All 16 subsets; the parent (all but the last place) comes before its child.
SUBSETS = tuple(
    subset
    for size in range(len(OFFSETS) + 1)
    for subset in itertools.combinations(OFFSETS, size)
)
# Row of the context of each subset, [m] int64.
type Codes = dict[tuple[int, ...], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Contexts:
  """What a mixture may look at.

  Attributes:
    gap_side: offset of the neighbour to which the time is known, -1 or 1; 0 is
      none.
  """

  gap_side: int = 0

  @functools.cached_property
  def subsets(self) -> tuple[tuple[int, ...], ...]:
    """`SUBSETS`, then those with the gap."""
    if not self.gap_side:
      return SUBSETS
    near = (subset for subset in SUBSETS if self.gap_side in subset)
    return SUBSETS + tuple((*subset, GAP) for subset in near)

  @functools.cached_property
  def experts(self) -> tuple[tuple[tuple[int, ...], bool], ...]:
    """The distributions: token counts of each subset, then continuations.

    Those count in how many different full contexts a token stands, the better
    back-off (Kneser and Ney 1995). With three neighbours the two counts hardly
    differ. The uniform distribution is one expert more.
    """
    small = (subset for subset in SUBSETS if len(subset) <= 2)
    tokens = tuple((subset, False) for subset in self.subsets)
    return tokens + tuple((subset, True) for subset in small)

  @property
  def num_experts(self) -> int:
    return len(self.experts) + 1

  @functools.cached_property
  def narrow(self) -> tuple[int, ...]:
    """Experts whose contexts hold few tokens: they settle most predictions."""
    sizes = (len(subset) for subset, _ in self.experts)
    return tuple(i for i, size in enumerate(sizes) if size > 1)


# Neighbours alone.
PLAIN = Contexts()

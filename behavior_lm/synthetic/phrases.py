"""Phrases of the synthetic world: what its scripts are made of.

A phrase is a chain of units, a unit of slots; a slot is one event that is
usually written. Units are idioms, which every activity uses, or an event of
the activity's own. Phrases and units may run several times over.

The shape of it all (lengths, what is optional, what repeats, what is popular)
is the same in every world, evenly spread by `even` and calibrated: a few
phrases make most of a log, and luck in drawing them would make one world's
log twice as predictable as another's. What the slots say is the world's own.
"""

import math
from typing import NamedTuple

import numpy as np

# How the design id of a slot is found when a player runs the script.
(STATIC, ITEM, LOCAL, MAP_NEW, MAP_OLD, QUEST, ARGUMENT,
 OUTCOME) = range(8)  # fmt: skip

# Events with a fixed meaning, then those with a design id, then idioms' and
# plain ones; rows of the world's names.
(TRANSFER, LEAVE, AI, ENTER, QUIT, JOINED, TRIBUTE, TAKEN, CHOSEN, HANDED,
 PRIZE) = range(11)  # fmt: skip
_ITEM_EVENTS = range(11, 23)
_LOCAL_EVENTS = range(23, 27)
_COMMON_EVENTS = range(27, 150)
_PLAIN_EVENTS = range(150, 700)
NUM_FAMILIES = len(_ITEM_EVENTS)
NUM_EVENTS = _PLAIN_EVENTS.stop

_PHRASES_PER_POOL = 44
_PHRASE_EXPONENT = 1.0
_BURST_SHARE = 0.3
# From .. to, both included.
_BURST_UNITS, _OTHER_UNITS = (3, 7), (1, 4)
_PHRASE_AGAIN_SHARE, _PHRASE_AGAIN = 0.3, (0.1, 0.5)
_UNIT_AGAIN_SHARE, _UNIT_AGAIN = 0.45, (0.2, 0.75)
_TURNS = (0.2, 0.6, 0.2)
_IDIOM_SHARE = 0.45
_NUM_IDIOMS, _IDIOM_EXPONENT = 30, 0.95
_IDIOM_LENGTHS = (0.15, 0.55, 0.2, 0.1)
_COMMON_EXPONENT = 0.6
_PLAIN_EXPONENT = 0.85
_KIND_SHARES = (0.19, 0.07, 0.74)  # ITEM, LOCAL, STATIC
_FIXED_DESIGN_SHARE = 0.12
_OPTIONAL_SHARE, _OPTIONAL_KEEP = 0.68, (0.3, 0.97)
_BURST_TIES, _OTHER_TIES, _IDIOM_TIES = 0.95, 0.2, 0.68
_SLOT_GAPS_S = (1.0, 1.1, 1.2, 1.8, 2.5, 11.0, 40.0)

_PRIMES = np.array([2, 3, 5, 7, 11, 13, 17, 19])


class Slot(NamedTuple):
  """One event: `gap` seconds after the one before, `keep` its probability."""

  event: int
  kind: int = STATIC
  argument: int = 0
  keep: float = 1.0
  gap: float = 0.0


class Unit(NamedTuple):
  """Slots in a row, `again` the probability of another run."""

  slots: list[Slot]
  again: float = 0.0


class Phrase(NamedTuple):
  """Units in a row, `again` the probability of another run."""

  units: list[Unit]
  again: float = 0.0


def zipf(size: int, exponent: float) -> np.ndarray:
  """[size] probabilities that fall with rank."""
  weights = 1.0 / np.arange(1, size + 1) ** exponent
  return weights / weights.sum()


def even(row: int) -> list[float]:
  """Eight numbers in [0, 1); those of successive rows are evenly spread.

  The additive recurrence by square roots of primes (Niederreiter 1992,
  section 3.2).
  """
  return ((row + 1) * np.sqrt(_PRIMES) % 1).tolist()


def pick(weights: np.ndarray | tuple[float, ...], draw: float) -> int:
  """The row of `weights`, which sum to 1, where they sum up to `draw`."""
  row = int(np.searchsorted(np.cumsum(weights), draw, side="right"))
  return min(row, len(weights) - 1)


class Pool:
  """The phrases of one activity, the most popular first."""

  def __init__(
      self,
      rng: np.random.Generator,
      idioms: list[Unit],
      static_designs: int,
      number: int,
      num_pools: int,
  ):
    """Pool `number` of `num_pools`; `rng` fills the slots."""
    self._rng = rng
    self._idioms = idioms
    self._idiom_fame = zipf(len(idioms), _IDIOM_EXPONENT)
    self._plain = rng.permutation(_PLAIN_EVENTS)
    self._plain_fame = zipf(self._plain.size, _PLAIN_EXPONENT)
    self._families = rng.choice(NUM_FAMILIES, 3, replace=False)
    self._static_designs = static_designs
    self._number, self._num_pools = number, num_pools
    self._num_units, self._num_slots = 0, 0
    self.phrases = [self._phrase(rank) for rank in range(_PHRASES_PER_POOL)]
    self._fame = zipf(_PHRASES_PER_POOL, _PHRASE_EXPONENT)

  def pick(self, draw: float) -> Phrase:
    """A phrase for a draw from [0, 1), a popular one for most of them."""
    return self.phrases[pick(self._fame, draw)]

  def _phrase(self, rank: int) -> Phrase:
    # The most popular phrases of all pools are rows in a row, and so on.
    draws = even(rank * self._num_pools + self._number)
    # A burst is what the game writes in one go, within a second.
    burst = draws[0] < _BURST_SHARE
    low, high = _BURST_UNITS if burst else _OTHER_UNITS
    count = low + int(draws[1] * (high - low + 1))
    ties = _BURST_TIES if burst else _OTHER_TIES
    again = _again(draws[2], _PHRASE_AGAIN_SHARE, _PHRASE_AGAIN)
    return Phrase([self._unit(ties) for _ in range(count)], again)

  def _unit(self, ties: float) -> Unit:
    draws = even(self._num_units * self._num_pools + self._number)
    self._num_units += 1
    gap = _gap(draws[0], ties)
    if draws[1] < _IDIOM_SHARE:
      idiom = self._idioms[pick(self._idiom_fame, draws[2])]
      first, *rest = idiom.slots
      return Unit([first._replace(gap=gap), *rest], idiom.again)
    again = _again(draws[3], _UNIT_AGAIN_SHARE, _UNIT_AGAIN)
    # What runs again is often two events by turns.
    count = 1 + pick(_TURNS, draws[4]) if again else 1
    first, *rest = (self._slot(ties) for _ in range(count))
    return Unit([first._replace(gap=gap), *rest], again)

  def _slot(self, ties: float) -> Slot:
    kind_draw, design_draw, keep_draw, gap_draw, *_ = even(
        self._num_slots * self._num_pools + self._number
    )
    self._num_slots += 1
    keep, gap = _keep(keep_draw), _gap(gap_draw, ties)
    rng = self._rng
    kind = (ITEM, LOCAL, STATIC)[pick(_KIND_SHARES, kind_draw)]
    if kind == ITEM:
      family = int(rng.choice(self._families))
      return Slot(_ITEM_EVENTS[family], ITEM, family, keep, gap)
    if kind == LOCAL:
      return Slot(int(rng.choice(_LOCAL_EVENTS)), LOCAL, 0, keep, gap)
    event, design = int(rng.choice(self._plain, p=self._plain_fame)), 0
    if design_draw < _FIXED_DESIGN_SHARE:
      design = 1 + int(rng.integers(self._static_designs))
    return Slot(event, STATIC, design, keep, gap)


def build_pools(
    rng: np.random.Generator, num_pools: int, static_designs: int
) -> list[Pool]:
  """Pools that share idioms; `rng` fills the slots.

  Args:
    rng: source of the events and designs.
    num_pools: how many.
    static_designs: design rows 1..static_designs may be fixed arguments.
  """
  idioms = _idioms(rng)
  return [
      Pool(rng, idioms, static_designs, number, num_pools)
      for number in range(num_pools)
  ]


def _idioms(rng: np.random.Generator) -> list[Unit]:
  """Chains that every activity uses, such as experience, money, message."""
  events = rng.permutation(_COMMON_EVENTS)
  fame = zipf(events.size, _COMMON_EXPONENT)
  idioms = []
  for rank in range(_NUM_IDIOMS):
    length, again, *draws = even(rank)
    # The first event leads no other idiom; but it may be part of others, and
    # so may the rest: what was before them tells which.
    chances = np.where(np.arange(events.size) == rank, 0.0, fame)
    rest = rng.choice(
        events,
        pick(_IDIOM_LENGTHS, length),
        replace=False,
        p=chances / chances.sum(),
    ).tolist()
    slots = [
        Slot(event, keep=_keep(keep), gap=_gap(gap, _IDIOM_TIES))
        for event, keep, gap in zip(rest, draws, draws[3:], strict=False)
    ]
    again = _again(again, _UNIT_AGAIN_SHARE, _UNIT_AGAIN)
    idioms.append(Unit([Slot(int(events[rank])), *slots], again))
  return idioms


def _again(draw: float, share: float, span: tuple[float, float]) -> float:
  return _between(span, draw / share) if draw < share else 0.0


def _keep(draw: float) -> float:
  if draw < _OPTIONAL_SHARE:
    return _between(_OPTIONAL_KEEP, draw / _OPTIONAL_SHARE)
  return 1.0


def _gap(draw: float, ties: float) -> float:
  if draw < ties:
    return 0.0
  choice = (draw - ties) / (1 - ties) * len(_SLOT_GAPS_S)
  return _SLOT_GAPS_S[math.floor(choice)]


def _between(span: tuple[float, float], draw: float) -> float:
  low, high = span
  return low + (high - low) * draw

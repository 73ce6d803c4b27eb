"""Scripts of the synthetic world and the tables by which players walk them.

A script is a chain of slots; a slot is one event that is usually written. Its
phrases are shared with other scripts, as subroutines of a real game are, so
one event alone does not tell which script runs.
"""

import dataclasses
import itertools
from typing import NamedTuple

import numpy as np

ARCHETYPES = ("fighter", "trader", "explorer", "social", "idler")
IDLER = ARCHETYPES.index("idler")
ACTIVITIES = (
    "fight", "dungeon", "trade", "craft", "explore", "gather", "chat",
    "guild", "menu", "idle",
)  # fmt: skip

# How the design id of a slot is found when a player runs the script.
(STATIC, ITEM, LOCAL, MAP_NEW, MAP_OLD, QUEST, ARGUMENT,
 OUTCOME) = range(8)  # fmt: skip

# Scripts outside the walk: a player's history puts them in place.
LOGIN, LOGOUT, JOIN, DAILY, ACCEPT, REWARD = range(6)
NUM_RESERVED = 6

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

# A uniform draw is one of DRAWS columns of a table: a step is one look-up.
DRAWS = 256

# How much of its time an archetype gives to each activity.
_PREFERENCE = np.array([
    [9, 7, 1.5, 1, 2, 2, 1, 1.5, 1.5, 2],
    [1.5, 1, 9, 6, 1.5, 3, 1.5, 1, 2, 2],
    [3, 2, 1.5, 1, 9, 6, 1, 1, 1.5, 2],
    [2, 1.5, 1.5, 1, 1.5, 1, 9, 7, 2, 2],
    [3, 1, 1, 2, 1, 2, 1, 1, 5, 9],
])
_SCRIPTS_PER_ACTIVITY = 70
_TRAVEL_NUMBERS = range(4, 7)
_SCRIPT_EXPONENT = 1.4
_PHRASES_PER_SCRIPT = (0.35, 0.4, 0.25)
_COMMON_PHRASES = 0.25
_PHRASES_PER_POOL = 44
_PHRASE_EXPONENT = 1.0
_BURST_SHARE = 0.3
_BURST_UNITS, _OTHER_UNITS = (3, 8), (1, 5)
_IDIOM_SHARE = 0.45
_NUM_IDIOMS, _IDIOM_EXPONENT = 30, 0.7
_IDIOM_LENGTHS = (0.3, 0.4, 0.2, 0.1)
_PLAIN_EXPONENT = 0.7
_KIND_SHARES = (0.13, 0.06, 0.81)  # ITEM, LOCAL, STATIC
_FIXED_DESIGN_SHARE = 0.12
_OPTIONAL_SHARE, _OPTIONAL_KEEP = 0.7, (0.3, 0.97)

_NUM_SUCCESSORS, _SUCCESSOR_CONCENTRATION = 10, 1.5
_SWITCH_SHARE = 0.06
_MAX_REPEAT, _REPEAT_BETA = 0.95, (0.6, 1.4)

_BURST_TIES, _OTHER_TIES, _IDIOM_TIES = 0.93, 0.1, 0.68
_SLOT_GAPS_S = (1.0, 1.2, 1.8, 11.0)
_REST_MEDIAN_S, _REST_SPREAD = 13.0, 1.0
_HASTE_SHARE, _HASTE_S = 0.2, 1.3


@dataclasses.dataclass(frozen=True)
class Scripts:
  """All scripts; reserved ones first. Read only.

  Attributes:
    start, length: [num_scripts] rows of the slot arrays below.
    gap: [num_scripts] float, usual seconds of rest before the script.
    travels: [num_scripts] bool, the script changes the map.
    event, kind: [num_slots] int.
    argument: [num_slots] the design row of a STATIC slot, the family of an
      ITEM slot.
    keep: [num_slots] float, probability that the event is written.
    slot_gap: [num_slots] float, usual seconds since the slot before; 0 = tie.
    steps: [archetypes, num_scripts, DRAWS] int32, the script that follows.
  """

  start: np.ndarray
  length: np.ndarray
  gap: np.ndarray
  travels: np.ndarray
  event: np.ndarray
  kind: np.ndarray
  argument: np.ndarray
  keep: np.ndarray
  slot_gap: np.ndarray
  steps: np.ndarray


def zipf(size: int, exponent: float) -> np.ndarray:
  """[size] probabilities that fall with rank."""
  weights = 1.0 / np.arange(1, size + 1) ** exponent
  return weights / weights.sum()


class Slot(NamedTuple):
  """One event of a script; see Scripts."""

  event: int
  kind: int = STATIC
  argument: int = 0
  keep: float = 1.0
  gap: float = 0.0


def build_scripts(rng: np.random.Generator, static_designs: int) -> Scripts:
  """Writes the scripts and their walk.

  Args:
    rng: source of all choices.
    static_designs: design rows 1..static_designs may be fixed arguments.
  """
  # Gaps have their own stream: tuning them leaves what is done unchanged.
  clock = rng.spawn(1)[0]
  idioms = _idioms(rng, clock)
  pools = [
      _Pool(rng, clock, idioms, static_designs)
      for _ in range(len(ACTIVITIES) + 1)
  ]
  slots = _reserved_slots()
  travels = [False] * NUM_RESERVED
  for activity in range(len(ACTIVITIES)):
    for number in range(_SCRIPTS_PER_ACTIVITY):
      # Travel is neither the most nor the least popular of an activity.
      moves = number in _TRAVEL_NUMBERS
      script = _travel_slots() if moves else []
      for _ in range(rng.choice([1, 2, 3], p=_PHRASES_PER_SCRIPT)):
        common = rng.random() < _COMMON_PHRASES
        script = script + pools[-1 if common else activity].pick(rng)
      # The first event is always there; the rest before it is the script's.
      slots.append([script[0]._replace(keep=1.0), *script[1:]])
      travels.append(moves)
  length = np.array([len(script) for script in slots])
  event, kind, argument, keep, gap = (
      np.array(column)
      for column in zip(*itertools.chain(*slots), strict=True)
  )
  rest = np.exp(clock.normal(np.log(_REST_MEDIAN_S), _REST_SPREAD, length.size))
  # Some scripts run on the heels of the last one.
  rest[clock.random(length.size) < _HASTE_SHARE] = _HASTE_S
  return Scripts(
      start=np.cumsum(length) - length,
      length=length,
      gap=rest,
      travels=np.array(travels),
      event=event,
      kind=kind,
      argument=argument,
      keep=keep,
      slot_gap=gap,
      steps=_walk_tables(rng, length.size),
  )


class _Pool:
  """Phrases of one activity: short chains of slots, some far more popular."""

  def __init__(
      self,
      rng: np.random.Generator,
      clock: np.random.Generator,
      idioms: list[list[Slot]],
      static_designs: int,
  ):
    self.plain = rng.permutation(_PLAIN_EVENTS)
    self.fame = zipf(self.plain.size, _PLAIN_EXPONENT)
    self.idioms = idioms
    self.idiom_fame = zipf(len(idioms), _IDIOM_EXPONENT)
    self.families = rng.choice(NUM_FAMILIES, 3, replace=False)
    self.static_designs = static_designs
    self.phrases = [self._phrase(rng, clock) for _ in range(_PHRASES_PER_POOL)]
    self.phrase_fame = zipf(_PHRASES_PER_POOL, _PHRASE_EXPONENT)

  def pick(self, rng: np.random.Generator) -> list[Slot]:
    return self.phrases[rng.choice(_PHRASES_PER_POOL, p=self.phrase_fame)]

  def _phrase(
      self, rng: np.random.Generator, clock: np.random.Generator
  ) -> list[Slot]:
    # A burst is what the game writes in one go, within a second.
    burst = rng.random() < _BURST_SHARE
    ties = _BURST_TIES if burst else _OTHER_TIES
    phrase: list[Slot] = []
    for _ in range(rng.integers(*(_BURST_UNITS if burst else _OTHER_UNITS))):
      gap = _slot_gap(clock, ties)
      if rng.random() < _IDIOM_SHARE:
        idiom = self.idioms[rng.choice(len(self.idioms), p=self.idiom_fame)]
        phrase += [idiom[0]._replace(gap=gap), *idiom[1:]]
      else:
        phrase.append(self._slot(rng)._replace(gap=gap))
    return phrase

  def _slot(self, rng: np.random.Generator) -> Slot:
    keep = _keep(rng)
    kind = rng.choice([ITEM, LOCAL, STATIC], p=_KIND_SHARES)
    if kind == ITEM:
      family = int(rng.choice(self.families))
      return Slot(_ITEM_EVENTS[family], ITEM, family, keep)
    if kind == LOCAL:
      return Slot(int(rng.choice(_LOCAL_EVENTS)), LOCAL, 0, keep)
    event = int(rng.choice(self.plain, p=self.fame))
    design = 0
    if rng.random() < _FIXED_DESIGN_SHARE:
      design = 1 + int(rng.integers(self.static_designs))
    return Slot(event, STATIC, design, keep)


def _keep(rng: np.random.Generator) -> float:
  if rng.random() < _OPTIONAL_SHARE:
    return rng.uniform(*_OPTIONAL_KEEP)
  return 1.0


def _slot_gap(clock: np.random.Generator, ties: float) -> float:
  return 0.0 if clock.random() < ties else float(clock.choice(_SLOT_GAPS_S))


def _idioms(
    rng: np.random.Generator, clock: np.random.Generator
) -> list[list[Slot]]:
  """Chains that every activity uses, such as experience, money, message."""
  idioms, event = [], _COMMON_EVENTS.start
  for length in rng.choice([1, 2, 3, 4], _NUM_IDIOMS, p=_IDIOM_LENGTHS):
    rest = [
        Slot(event + n, keep=_keep(rng), gap=_slot_gap(clock, _IDIOM_TIES))
        for n in range(1, length)
    ]
    idioms.append([Slot(event), *rest])
    event += length
  return idioms


def _travel_slots() -> list[Slot]:
  return [
      Slot(TRANSFER, MAP_NEW),
      Slot(LEAVE, MAP_OLD),
      Slot(AI, keep=0.6),
  ]


def _reserved_slots() -> list[list[Slot]]:
  """Slots of LOGIN, LOGOUT, JOIN, DAILY, ACCEPT, REWARD in this order."""
  return [
      [Slot(ENTER), Slot(AI, keep=0.9)],
      [Slot(QUIT)],
      [Slot(JOINED, ARGUMENT)],
      [Slot(TRIBUTE, OUTCOME)],
      [Slot(TAKEN, QUEST), Slot(CHOSEN, ARGUMENT, gap=2.0)],
      [Slot(HANDED, QUEST), Slot(PRIZE, OUTCOME)],
  ]


def _walk_tables(rng: np.random.Generator, num_scripts: int) -> np.ndarray:
  """[archetypes, num_scripts, DRAWS]: who follows whom.

  A script repeats itself, goes on to one of a few successors of its activity,
  or switches to an activity that the archetype likes.
  """
  per = _SCRIPTS_PER_ACTIVITY
  popularity = zipf(per, _SCRIPT_EXPONENT)
  switch = round(_SWITCH_SHARE * DRAWS)
  steps = np.empty((len(ARCHETYPES), num_scripts, DRAWS), np.int32)
  for script in range(num_scripts):
    activity = max(script - NUM_RESERVED, 0) // per
    successors = rng.choice(per, _NUM_SUCCESSORS, replace=False, p=popularity)
    successors += NUM_RESERVED + activity * per
    weights = rng.dirichlet([_SUCCESSOR_CONCENTRATION] * _NUM_SUCCESSORS)
    repeat = _MAX_REPEAT * rng.beta(*_REPEAT_BETA)
    if script < NUM_RESERVED:
      repeat = 0.0
    chain = rng.choice(
        np.append(successors, script),
        DRAWS - switch,
        p=np.append(weights * (1 - repeat), repeat),
    )
    for archetype, preference in enumerate(_PREFERENCE):
      liked = preference / preference.sum()
      away = rng.choice(len(ACTIVITIES), switch, p=liked)
      entry = NUM_RESERVED + away * per + rng.choice(per, switch, p=popularity)
      steps[archetype, script] = rng.permutation(np.append(entry, chain))
  return steps

"""Scripts of the synthetic world and the tables by which players walk them.

Routines within routines: a script is a chain of phrases (synthetic_phrases),
shared with other scripts as subroutines of a real game are, so one event alone
does not tell which script runs.
"""

import dataclasses
import itertools
import statistics
from typing import NamedTuple

import numpy as np

from behavior_lm.synthetic import phrases as phrases_lib
from behavior_lm.synthetic.phrases import Phrase
from behavior_lm.synthetic.phrases import Slot
from behavior_lm.synthetic.phrases import Unit

ARCHETYPES = ("fighter", "trader", "explorer", "social", "idler")
IDLER = ARCHETYPES.index("idler")
ACTIVITIES = (
    "fight", "dungeon", "trade", "craft", "explore", "gather", "chat",
    "guild", "menu", "idle",
)  # fmt: skip

# Scripts outside the walk: a player's history puts them in place.
LOGIN, LOGOUT, JOIN, DAILY, ACCEPT, REWARD = range(6)
NUM_RESERVED = 6

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
_SCRIPT_EXPONENT = 1.7
_PHRASES_PER_SCRIPT = (0.35, 0.4, 0.25)
_COMMON_PHRASES = 0.25

_NUM_SUCCESSORS, _SUCCESSOR_CONCENTRATION = 8, 0.7
_SWITCH_SHARE = 0.05
_MAX_REPEAT, _REPEAT_POWER = 0.95, 2.3

_REST_MEDIAN_S, _REST_SPREAD = 36.0, 1.2
_HASTE_SHARE, _HASTE_S = 0.2, 1.3


class Level(NamedTuple):
  """What each of some wholes consists of: rows start .. start + size - 1.

  Attributes:
    start, size: [wholes] int64 rows of the parts.
    again: [wholes] float, probability that the whole runs once more.
  """

  start: np.ndarray
  size: np.ndarray
  again: np.ndarray


@dataclasses.dataclass(frozen=True)
class Scripts:
  """All scripts; reserved ones first. Read only.

  Attributes:
    of_script, of_phrase, of_unit: the phrases of each script, the units of
      each phrase, the slots of each unit.
    mean_length: [num_scripts] float, expected events of a run.
    gap: [num_scripts] float, usual seconds of rest before the script.
    travels: [num_scripts] bool, the script changes the map.
    event, kind: [num_slots] int.
    argument: [num_slots] the design row of a STATIC slot, the family of an
      ITEM slot.
    keep: [num_slots] float, probability that the event is written.
    slot_gap: [num_slots] float, usual seconds since the slot before; 0 = tie.
    steps: [archetypes, num_scripts, DRAWS] int32, the script that follows.
  """

  of_script: Level
  of_phrase: Level
  of_unit: Level
  mean_length: np.ndarray
  gap: np.ndarray
  travels: np.ndarray
  event: np.ndarray
  kind: np.ndarray
  argument: np.ndarray
  keep: np.ndarray
  slot_gap: np.ndarray
  steps: np.ndarray


def build_scripts(rng: np.random.Generator, static_designs: int) -> Scripts:
  """Writes the scripts and their walk.

  Args:
    rng: source of what a world does not share with others.
    static_designs: design rows 1..static_designs may be fixed arguments.
  """
  num_activities = len(ACTIVITIES)
  *pools, common = phrases_lib.build_pools(
      rng, num_activities + 1, static_designs
  )
  written = [[Phrase([Unit(slots)])] for slots in _reserved_slots()]
  travels = [False] * NUM_RESERVED
  for activity in range(num_activities):
    for number in range(_SCRIPTS_PER_ACTIVITY):
      # Travel is neither the most nor the least popular of an activity.
      moves = number in _TRAVEL_NUMBERS
      script = [Phrase([Unit(_travel_slots())])] if moves else []
      more, *draws = _even_draws(activity, number)
      for part in range(1 + phrases_lib.pick(_PHRASES_PER_SCRIPT, more)):
        is_common = draws[2 * part] < _COMMON_PHRASES
        pool = common if is_common else pools[activity]
        script.append(pool.pick(draws[2 * part + 1]))
      written.append(script)
      travels.append(moves)
  phrases = list(itertools.chain(*written))
  units = list(itertools.chain(*(phrase.units for phrase in phrases)))
  slots = itertools.chain(*(unit.slots for unit in units))
  event, kind, argument, keep, gap = (
      np.array(column) for column in zip(*slots, strict=True)
  )
  of_script = _level([(len(script), 0.0) for script in written])
  of_phrase = _level([(len(phrase.units), phrase.again) for phrase in phrases])
  of_unit = _level([(len(unit.slots), unit.again) for unit in units])
  length = keep
  for level in (of_unit, of_phrase, of_script):
    length = np.add.reduceat(length, level.start) / (1 - level.again)
  return Scripts(
      of_script=of_script,
      of_phrase=of_phrase,
      of_unit=of_unit,
      mean_length=length,
      gap=_rests(),
      travels=np.array(travels),
      event=event,
      kind=kind,
      argument=argument,
      keep=keep,
      slot_gap=gap,
      steps=_walk_tables(rng, len(written)),
  )


def _even_draws(activity: int, number: int) -> list[float]:
  """The most popular scripts of all activities are rows in a row."""
  return phrases_lib.even(number * len(ACTIVITIES) + activity)


def _level(parts: list[tuple[int, float]]) -> Level:
  size, again = (np.array(column) for column in zip(*parts, strict=True))
  return Level(np.cumsum(size) - size, size, again)


def _travel_slots() -> list[Slot]:
  return [
      Slot(phrases_lib.TRANSFER, phrases_lib.MAP_NEW),
      Slot(phrases_lib.LEAVE, phrases_lib.MAP_OLD),
      Slot(phrases_lib.AI, keep=0.6),
  ]


def _reserved_slots() -> list[list[Slot]]:
  """Slots of LOGIN, LOGOUT, JOIN, DAILY, ACCEPT, REWARD in this order."""
  lib = phrases_lib
  return [
      [Slot(lib.ENTER), Slot(lib.AI, keep=0.9)],
      [Slot(lib.QUIT)],
      [Slot(lib.JOINED, lib.ARGUMENT)],
      [Slot(lib.TRIBUTE, lib.OUTCOME)],
      [Slot(lib.TAKEN, lib.QUEST), Slot(lib.CHOSEN, lib.ARGUMENT, gap=2.0)],
      [Slot(lib.HANDED, lib.QUEST), Slot(lib.PRIZE, lib.OUTCOME)],
  ]


def _rests() -> np.ndarray:
  """[num_scripts] usual seconds before a script."""
  normal = statistics.NormalDist(np.log(_REST_MEDIAN_S), _REST_SPREAD)
  rest = [_REST_MEDIAN_S] * NUM_RESERVED
  for activity in range(len(ACTIVITIES)):
    for number in range(_SCRIPTS_PER_ACTIVITY):
      haste, draw = _even_draws(activity, number)[5:7]
      # Some scripts run on the heels of the last one.
      usual = np.exp(normal.inv_cdf(min(max(draw, 1e-6), 1 - 1e-6)))
      rest.append(_HASTE_S if haste < _HASTE_SHARE else usual)
  return np.array(rest)


def _walk_tables(rng: np.random.Generator, num_scripts: int) -> np.ndarray:
  """[archetypes, num_scripts, DRAWS]: who follows whom.

  A script repeats itself, goes on to one of a few successors of its activity,
  or switches to an activity that the archetype likes.
  """
  per = _SCRIPTS_PER_ACTIVITY
  popularity = phrases_lib.zipf(per, _SCRIPT_EXPONENT)
  switch = round(_SWITCH_SHARE * DRAWS)
  steps = np.empty((len(ARCHETYPES), num_scripts, DRAWS), np.int32)
  for script in range(num_scripts):
    activity, number = divmod(max(script - NUM_RESERVED, 0), per)
    successors = rng.choice(per, _NUM_SUCCESSORS, replace=False, p=popularity)
    successors += NUM_RESERVED + activity * per
    weights = rng.dirichlet([_SUCCESSOR_CONCENTRATION] * _NUM_SUCCESSORS)
    draw = _even_draws(activity, number)[7]
    repeat = _MAX_REPEAT * draw**_REPEAT_POWER
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

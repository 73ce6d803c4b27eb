"""One synthetic player's history: days, sessions, scripts and quests.

Every stage is vectorised over the player's whole history; only the walk from
script to script goes step by step, one table look-up each.
"""

import dataclasses

import numpy as np

from behavior_lm.synthetic import scripts as scripts_lib
from behavior_lm.synthetic import world as world_lib
from behavior_lm.synthetic.labels import Traits

DAY_S = 86_400
# Relative number of session starts in each hour of the day.
_HOURS = np.array([
    2.0, 1.0, 0.5, 0.3, 0.2, 0.2, 0.6, 2.0, 4.0, 5.0, 6.0, 6.0,
    5.0, 4.8, 5.0, 5.2, 4.8, 5.0, 5.6, 6.0, 6.4, 6.0, 4.5, 3.2,
])  # fmt: skip
_BEDTIME, _BEDTIME_SPREAD = 25.0, 0.7
_WEEKEND = 1.2
_DAY_SPREAD = 0.24
_SLACK_SHARE, _SLACK = 0.07, 0.4
_LONG_BREAKS_PER_DAY = 1.35
# A day's events below which it is a session or two.
_BUSY_DAY = 400
_LEAST_DAY = 12
_BLOCK_STEPS = 20
_NUM_LOOPS = 2
_SLIP = 0.03
_BORED_HABIT = 0.2
_EARLY_BOREDOM = 0.5
_BORED_DUTY = 0.8
# Lengths in scripts; a script is about 14 events.
_JOIN_BY = 20
_DAILY_BY = 12
_QUEST_SPAN = (7, 400)
_QUEST_PAUSE = (4, 50)
_NUM_TRACKS = 4
FACTION_LINK, QUEST_LINK = range(2)


@dataclasses.dataclass(frozen=True)
class Sessions:
  """Planned sessions in order, each [num_sessions].

  Attributes:
    size: int64 events.
    day: int64 of the window.
    middle: float64 seconds since the start of the window, if it is to be held
      whatever the hour.
    place: float64, the same within the day, in [0, 1).
    bed: float64 seconds, when the player would rather be gone; inf if never.
    share: float64 of its day's events.
    late: bool, after the player's `onset`.
  """

  size: np.ndarray
  day: np.ndarray
  middle: np.ndarray
  place: np.ndarray
  bed: np.ndarray
  share: np.ndarray
  late: np.ndarray


@dataclasses.dataclass(frozen=True)
class Play:
  """What is done, step by step; a step is one run of a script.

  Attributes:
    script: [n] int32.
    session: [n] int64, not falling.
    bored: [n] float, the player's boredom at that time.
    looped: [n] bool, the step repeats a recorded loop.
    argument: [n] int64 choice of a JOIN, DAILY, ACCEPT or REWARD step (the
      faction, or quest * NUM_CHOICES + choice), else 0.
    links: [m, 4] int64 kind, argument, cause step, effect step.
  """

  script: np.ndarray
  session: np.ndarray
  bored: np.ndarray
  looped: np.ndarray
  argument: np.ndarray
  links: np.ndarray


def plan_sessions(
    traits: Traits,
    num_days: int,
    first_weekday: int,
    presence: float,
    rng: np.random.Generator,
) -> Sessions:
  """How much is played when, before anything is known of what is done."""
  middle = (np.arange(num_days) + 0.5) / num_days
  level = np.exp(rng.normal(-_DAY_SPREAD**2 / 2, _DAY_SPREAD, num_days))
  weekend = (np.arange(num_days) + first_weekday) % 7 >= 5
  level = level * np.where(weekend, _WEEKEND, 1.0)
  level = level * np.where(rng.random(num_days) < _SLACK_SHARE, _SLACK, 1.0)
  gone = np.clip((middle - traits.onset) / (1 - traits.onset), 0, None)
  decay = traits.final_level**gone
  dip = (middle >= traits.slump_start) & (middle < traits.slump_start + 0.25)
  level = level * decay * np.where(dip, traits.slump_level, 1.0)
  played = rng.random(num_days) < presence * np.sqrt(decay)
  played[np.argmax(level)] |= not played.any()
  least = min(traits.volume, _LEAST_DAY)
  events = np.maximum(traits.volume * level, least) * played

  busy = np.minimum(events / _BUSY_DAY, 1.0)
  count = (1 + rng.poisson(_LONG_BREAKS_PER_DAY * busy)) * played
  day = np.repeat(np.arange(num_days), count)
  share = rng.gamma(1.5, size=day.size)
  share /= np.bincount(day, share, minlength=num_days)[day]
  size = np.round(events[day] * share).astype(np.int64)
  hour, bed = _hours_of_day(traits, day.size, rng)
  order = np.lexsort((hour, day))
  return Sessions(
      size=size[order],
      day=day[order],
      middle=((day * 24 + hour) * 3_600)[order],
      place=hour[order] / 24,
      bed=((day * 24 + bed) * 3_600)[order],
      share=share[order],
      late=(middle[day] >= traits.onset)[order],
  )


def play(
    scripts: scripts_lib.Scripts,
    traits: Traits,
    sessions: Sessions,
    rng: np.random.Generator,
) -> Play:
  """Fills the sessions with scripts, then tells the long stories in them."""
  mean_length = scripts.mean_length
  # A first and a last script of one event or two stand for usual ones.
  lost = np.minimum(2 * mean_length.mean() - 3, sessions.size)
  ends = np.cumsum(sessions.size + lost)
  early, late = _EARLY_BOREDOM * traits.boredom, traits.boredom
  # About: the walk is not yet known.
  steps_before = sessions.size[~sessions.late].sum() / mean_length.mean()
  num_steps = int(ends[-1] / mean_length.mean() * 1.5) + 64
  while True:
    bored = np.where(np.arange(num_steps) < steps_before, early, late)
    script, looped = _walk(scripts, traits, bored, rng)
    reach = np.cumsum(mean_length[script])
    if reach[-1] > ends[-1]:
      break
    num_steps *= 2
  session = np.searchsorted(ends, reach - mean_length[script], side="right")
  inside = session < ends.size
  script, session = script[inside], session[inside]
  bored, looped = bored[inside], looped[inside]
  turns = np.flatnonzero(np.diff(session)) + 1
  script[np.append(turns - 1, script.size - 1)] = scripts_lib.LOGOUT
  script[np.append(0, turns)] = scripts_lib.LOGIN
  argument, links = _tell_stories(
      traits, script, bored, np.append(0, turns), rng
  )
  return Play(script, session, bored, looped, argument, links)


def _hours_of_day(
    traits: Traits, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
  """[count] hours in [0, 24) of sessions, and by when they had better end."""
  ends = np.cumsum(_HOURS) / _HOURS.sum()
  hour = np.interp(rng.random(count), np.append(0, ends), np.arange(25))
  any_hour = rng.uniform(0, 24, count)
  kept = rng.random(count) < traits.rhythm
  bed = _BEDTIME + traits.phase + rng.normal(0, _BEDTIME_SPREAD, count)
  return (
      np.where(kept, hour + traits.phase, any_hour) % 24,
      np.where(kept, bed, np.inf),
  )


def _walk(
    scripts: scripts_lib.Scripts,
    traits: Traits,
    bored: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
  """Scripts of steps of given boredom; which of them repeat a loop."""
  num_scripts = scripts.mean_length.size
  # The walk looks up rows of one flat table, archetype after archetype.
  idle = rng.random(bored.size) < bored
  archetype = np.where(idle, scripts_lib.IDLER, traits.archetype)
  draws = rng.integers(scripts_lib.DRAWS, size=bored.size)
  column = archetype * num_scripts * scripts_lib.DRAWS + draws
  # A player's own favourite successor of each script.
  taste = rng.integers(scripts_lib.DRAWS, size=num_scripts)
  own = scripts.steps[traits.archetype, np.arange(num_scripts), taste]
  favourite = own.tolist()
  habit = traits.habit + _BORED_HABIT * bored
  habitual = (rng.random(bored.size) < habit).tolist()
  # A memoryview gives Python ints at once: four times as fast as indexing.
  flat = memoryview(scripts.steps.ravel())
  state, walked = scripts_lib.LOGIN, []
  for offset, is_habit in zip(column.tolist(), habitual, strict=True):
    if is_habit:
      state = favourite[state]
    else:
      state = flat[offset + state * scripts_lib.DRAWS]
    walked.append(state)
  return _replay_loops(np.array(walked, np.int32), traits, rng)


def _replay_loops(
    script: np.ndarray, traits: Traits, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
  """Replaces blocks of the walk by loops recorded from somewhere in it."""
  length = min(traits.loop_length, script.size)
  num_blocks = script.size // _BLOCK_STEPS + 1
  loop = rng.integers(1, _NUM_LOOPS + 1, num_blocks)
  loop *= rng.random(num_blocks) < traits.loop_share
  chosen = np.repeat(loop, _BLOCK_STEPS)[: script.size]
  result = script.copy()
  for number in range(1, _NUM_LOOPS + 1):
    places = np.flatnonzero(chosen == number)
    # Now and then a step fails or is done twice.
    moves = rng.choice(3, places.size, p=[_SLIP, 1 - 2 * _SLIP, _SLIP])
    offset = int(rng.integers(max(script.size - length, 0) + 1))
    result[places] = script[offset + np.cumsum(moves) % length]
  return result, chosen > 0


def _tell_stories(
    traits: Traits,
    script: np.ndarray,
    bored: np.ndarray,
    session_starts: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
  """Writes faction and quests over steps of `script`, in place.

  A choice made early decides an event much later; between the two nothing
  tells it. Returns the arguments of the steps and the links of Play.
  """
  free = script >= scripts_lib.NUM_RESERVED
  argument = np.zeros(script.size, np.int64)
  links: list[tuple[int, int, int, int]] = []

  def put(step: int, what: int, choice: int) -> int:
    """Puts a script at the first free step from `step` on; -1: none left."""
    while step < script.size and not free[step]:
      step += 1
    if step >= script.size:
      return -1
    script[step], argument[step], free[step] = what, choice, False
    return step

  joined = put(
      int(rng.integers(2, _JOIN_BY)), scripts_lib.JOIN, traits.faction
  )
  if joined < 0:
    return argument, np.zeros((0, 4), np.int64)
  dutiful = rng.random(session_starts.size) < traits.duty * (
      1 - _BORED_DUTY * bored[session_starts]
  )
  delay = rng.integers(2, _DAILY_BY, session_starts.size)
  for start in (session_starts + delay)[dutiful]:
    if start > joined:
      step = put(int(start), scripts_lib.DAILY, traits.faction)
      if step >= 0:
        links.append((FACTION_LINK, traits.faction, joined, step))
  low, high = np.log(_QUEST_SPAN)
  for track in range(_NUM_TRACKS):
    step = joined
    while True:
      # No quest is on two tracks: an open one has one choice.
      number = int(rng.integers(world_lib.NUM_QUESTS // _NUM_TRACKS))
      quest = number * _NUM_TRACKS + track
      option = int(rng.integers(world_lib.NUM_CHOICES))
      choice = quest * world_lib.NUM_CHOICES + option
      pause = int(rng.integers(*_QUEST_PAUSE))
      cause = put(step + pause, scripts_lib.ACCEPT, choice)
      span = int(np.exp(rng.uniform(low, high)))
      if cause < 0 or cause + span >= script.size:
        break
      step = put(cause + span, scripts_lib.REWARD, choice)
      if step < 0:
        break
      links.append((QUEST_LINK, choice, cause, step))
  return argument, np.array(links, np.int64).reshape(-1, 4)

"""From a synthetic player's scripts to events with design ids and times."""

import dataclasses

import numpy as np

from behavior_lm.data import synthetic_players as players_lib
from behavior_lm.data import synthetic_scripts as scripts_lib
from behavior_lm.data import synthetic_world as world_lib
from behavior_lm.data.synthetic_labels import Traits

_HISTORY_STREAM = 4
_BREAK_MEDIAN_S, _BREAK_SPREAD = 3_000.0, 0.4
# A player sleeps: longer days are played faster.
_MAX_PLAY_S = 17.5 * 3_600.0
_AWAKE_S = 17 * 3_600.0
_PAUSE_MEDIAN_S, _PAUSE_SPREAD = 110.0, 1.6
# Some pauses end by a timer of the game: of ten minutes or so, or an hour.
_TIMED_SHARE, _TIMED_S = 0.36, (560.0, 900.0)
_HOURLY_SHARE, _HOURLY_PER_DAY, _HOURLY_S = 0.02, 3.0, (3_590.0, 3_660.0)
_MIN_PAUSE_S, _MAX_PAUSE_S = 15.0, 3_500.0
_SLOT_SPREAD = 0.6
_BORED_TEMPO, _BORED_PAUSES = 0.8, 1.5
_FRESH_ITEM, _FRESH_LOCAL = 0.18, 0.12
_OWN_TASTE = 0.4
_NUM_FAVOURITES = 32
_FAVOURITE_RATIO = 0.75
_ROUTE_HABIT = 0.35
_OWN_SHARE, _NEW_THING = 0.08, 0.6


@dataclasses.dataclass(frozen=True)
class History:
  """What one player did, in order of time.

  Attributes:
    event, design: [n] int64 rows of the world's names.
    second: [n] int64 seconds since the start of the window, not falling.
    links: [m, 4] int64: kind, argument, row of the cause, row of the effect.
  """

  event: np.ndarray
  design: np.ndarray
  second: np.ndarray
  links: np.ndarray


def simulate(
    world: world_lib.World,
    traits: Traits,
    *,
    seed: int,
    num_days: int,
    first_weekday: int,
    presence: float,
    order_noise: float,
) -> History:
  """The history of one player; it depends on nothing but the arguments."""
  rng = np.random.default_rng([seed, _HISTORY_STREAM, traits.index])
  scripts = world.scripts
  sessions = players_lib.plan_sessions(
      traits, num_days, first_weekday, presence, rng
  )
  play = players_lib.play(scripts, traits, sessions, rng)

  # Every slot of every step, less those that were not written this time.
  length = scripts.length[play.script]
  step = np.repeat(np.arange(length.size), length)
  place = np.arange(step.size) - np.repeat(np.cumsum(length) - length, length)
  slot = scripts.start[play.script][step] + place
  # Whoever replays a loop does so to the letter.
  usual = rng.random(scripts.keep.size)[slot]
  kept = np.where(play.looped[step], usual, rng.random(slot.size))
  kept = kept < scripts.keep[slot]
  slot, step, place = slot[kept], step[kept], place[kept]

  event = scripts.event[slot]
  design = _designs(world, traits, play, slot, step, rng)
  told = play.script[step] < scripts_lib.NUM_RESERVED
  noisy, other = _noise(scripts.kind[slot], told, order_noise, rng)
  event[noisy] = scripts.event[slot[other]]
  design[noisy] = scripts.argument[slot[other]]

  gap = _gaps(scripts, traits, play, slot, step, place == 0, num_days, rng)
  second = _clock(sessions, play.session[step], gap, rng)
  window = num_days * players_lib.DAY_S
  if second[0] >= window:
    # A late first session of a short window; nobody is without an event.
    second = second - second[0] + window // 2
  end = int(np.searchsorted(second, window))
  links = play.links.copy()
  # A script's last event carries its choice or outcome.
  links[:, 2:] = np.searchsorted(step, links[:, 2:], side="right") - 1
  links = links[links[:, 3] < end]
  return History(event[:end], design[:end], second[:end], links)


def _noise(
    kind: np.ndarray,
    told: np.ndarray,
    share: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
  """Rows of events to replace, and rows of what replaces them.

  Stories (`told`) and events whose design means something stay: the truth
  about them is given away with the logs.
  """
  plain = kind == scripts_lib.STATIC
  noisy = np.flatnonzero((rng.random(kind.size) < share) & plain & ~told)
  other = rng.integers(kind.size, size=noisy.size)
  swap = plain[other]
  return noisy[swap], other[swap]


def _designs(
    world: world_lib.World,
    traits: Traits,
    play: players_lib.Play,
    slot: np.ndarray,
    step: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
  """[n] design rows of the events of `slot`."""
  kind, design = world.scripts.kind[slot], world.scripts.argument[slot].copy()

  items = np.flatnonzero(kind == scripts_lib.ITEM)
  family = design[items]
  favourites = world_lib.item_rank(rng.random(_NUM_FAVOURITES))
  taste = rng.geometric(1 - _FAVOURITE_RATIO, items.size) % _NUM_FAVOURITES
  rank = np.where(
      rng.random(items.size) < _OWN_TASTE,
      favourites[taste],
      world_lib.item_rank(rng.random(items.size)),
  )
  rank = rank[_held(rng, items.size, _FRESH_ITEM)]
  design[items] = world.item_design(family, rank)
  own = items[rng.random(items.size) < _OWN_SHARE]
  thing = np.cumsum(rng.random(own.size) < _NEW_THING)
  design[own] = world.own_design(traits.index, thing)

  before, after = _journey(world, traits, play, rng)
  design = np.where(
      kind == scripts_lib.MAP_NEW, world.first["map"] + after[step], design
  )
  design = np.where(
      kind == scripts_lib.MAP_OLD, world.first["map"] + before[step], design
  )
  local = np.flatnonzero(kind == scripts_lib.LOCAL)
  rank = world_lib.local_rank(rng.random(local.size))
  rank = rank[_held(rng, local.size, _FRESH_LOCAL)]
  design[local] = world.local_design(after[step[local]], rank)

  return _story_designs(world, play, design, kind, step)


def _story_designs(
    world: world_lib.World,
    play: players_lib.Play,
    design: np.ndarray,
    kind: np.ndarray,
    step: np.ndarray,
) -> np.ndarray:
  for script, slot_kind, group, divisor in (
      (scripts_lib.JOIN, scripts_lib.ARGUMENT, "faction", 1),
      (scripts_lib.DAILY, scripts_lib.OUTCOME, "tribute", 1),
      (scripts_lib.ACCEPT, scripts_lib.QUEST, "quest", world_lib.NUM_CHOICES),
      (scripts_lib.ACCEPT, scripts_lib.ARGUMENT, "choice", 1),
      (scripts_lib.REWARD, scripts_lib.QUEST, "quest", world_lib.NUM_CHOICES),
      (scripts_lib.REWARD, scripts_lib.OUTCOME, "outcome", 1),
  ):
    here = np.flatnonzero((kind == slot_kind) & (play.script[step] == script))
    design[here] = world.first[group] + play.argument[step[here]] // divisor
  return design


def _held(
    rng: np.random.Generator, count: int, fresh_share: float
) -> np.ndarray:
  """[count] rows: each its own, or the last one that was fresh."""
  fresh = rng.random(count) < fresh_share
  return np.maximum.accumulate(np.where(fresh, np.arange(count), 0))


def _journey(
    world: world_lib.World,
    traits: Traits,
    play: players_lib.Play,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
  """[num_steps] map before and after each step, a Markov-2 walk."""
  moves = world.scripts.travels[play.script]
  travels = np.flatnonzero(moves)
  # By habit, or in a loop, a script leads the same way again.
  usual = (play.script[travels] * 37 + traits.index * 11) % world_lib.ROUTES
  habitual = play.looped[travels] | (
      rng.random(travels.size) < _ROUTE_HABIT
  )
  draws = np.where(
      habitual, usual, rng.integers(world_lib.ROUTES, size=travels.size)
  )
  home = int(rng.integers(world_lib.NUM_MAPS))
  place, column, visited = home, 0, [home]
  for draw in draws.tolist():
    column = world.routes.item(place, column, draw)
    place = world.neighbours.item(place, column)
    visited.append(place)
  after = np.array(visited)[np.cumsum(moves)]
  return np.append(home, after[:-1]), after


def _gaps(
    scripts: scripts_lib.Scripts,
    traits: Traits,
    play: players_lib.Play,
    slot: np.ndarray,
    step: np.ndarray,
    opens: np.ndarray,
    num_days: int,
    rng: np.random.Generator,
) -> np.ndarray:
  """[n] float seconds since the event before; exactly 0 for a tie.

  `opens` marks the first event of a step, which carries the rest before it.
  """
  spread = np.where(opens, traits.jitter, min(traits.jitter, _SLOT_SPREAD))
  rest = scripts.gap[play.script[step]]
  usual = np.where(opens, rest, scripts.slot_gap[slot])
  bored = play.bored[step]
  tempo = traits.tempo * (1 + _BORED_TEMPO * bored)
  gap = usual * tempo * np.exp(spread * rng.standard_normal(slot.size))
  idleness = traits.idleness * (1 + _BORED_PAUSES * bored)
  pauses = np.flatnonzero(opens & (rng.random(slot.size) < idleness))
  length = _PAUSE_MEDIAN_S * np.exp(
      _PAUSE_SPREAD * rng.standard_normal(pauses.size)
  )
  length = np.minimum(length, _MAX_PAUSE_S)
  timed = rng.random(pauses.size) < _TIMED_SHARE
  length[timed] = rng.uniform(*_TIMED_S, timed.sum())
  # Whoever plays more does not sit idle for more hours.
  hours = min(_HOURLY_SHARE * pauses.size, _HOURLY_PER_DAY * num_days)
  hourly = rng.integers(max(pauses.size, 1), size=rng.poisson(hours))
  length[hourly] = rng.uniform(*_HOURLY_S, hourly.size)
  gap[pauses] += length
  return gap


def _clock(
    sessions: players_lib.Sessions,
    session: np.ndarray,
    gap: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
  """[n] whole seconds of events, sessions one after another.

  A session starts when it was planned, or after a break when the one before
  went on for longer than that.
  """
  count = sessions.size.size
  first = np.searchsorted(session, np.arange(count))
  used = np.append(first[1:], session.size) > first
  gap = gap.copy()
  gap[first[used]] = 0.0
  # Pauses are what gives; what the game times by the hour takes an hour.
  elastic = np.where((gap > _MIN_PAUSE_S) & (gap < _MAX_PAUSE_S), gap, 0.0)
  length = np.bincount(session, elastic, minlength=count)
  fixed = np.bincount(session, gap - elastic, minlength=count)
  allowed = np.maximum(sessions.share, 0.02) * _MAX_PLAY_S
  allowed = np.maximum(allowed - fixed, allowed / 2)
  shrink = np.minimum(allowed / np.maximum(length, 1.0), 1.0)
  gap += elastic * (shrink[session] - 1.0)
  passed = np.cumsum(gap)
  span = np.bincount(session, gap, minlength=count)
  day_start = np.searchsorted(sessions.day, sessions.day)
  total = np.cumsum(span) - span
  before = total - total[day_start]
  whole = np.bincount(sessions.day, span)[sessions.day]
  slack = np.maximum(_AWAKE_S - whole, 0.0)
  # What is not played is spread over the hours that the player is awake.
  awake = sessions.bed - _AWAKE_S + sessions.place * slack + before
  wish = np.where(np.isfinite(awake), awake, sessions.middle - span / 2)
  breaks = _BREAK_MEDIAN_S * np.exp(_BREAK_SPREAD * rng.standard_normal(count))
  begin = np.zeros(count)
  end = -np.inf
  for number in np.flatnonzero(used):
    begin[number] = max(wish[number], end + breaks[number], 0.0)
    end = begin[number] + span[number]
  start = passed[first.clip(max=session.size - 1)]
  return np.floor(begin[session] + passed - start[session]).astype(np.int64)

"""From a synthetic player's scripts to events with design ids and times."""

import dataclasses
from typing import NamedTuple

import numpy as np

from behavior_lm.synthetic import phrases as phrases_lib
from behavior_lm.synthetic import players as players_lib
from behavior_lm.synthetic import scripts as scripts_lib
from behavior_lm.synthetic import world as world_lib
from behavior_lm.synthetic.labels import Traits

_HISTORY_STREAM = 4
_BREAK_MEDIAN_S, _BREAK_SPREAD = 3_000.0, 0.4
# A player sleeps: longer days are played faster.
_MAX_PLAY_S = 18.25 * 3_600.0
_AWAKE_S = 17.75 * 3_600.0
_PAUSE_MEDIAN_S, _PAUSE_SPREAD = 140.0, 1.6
# Some pauses end by a timer of the game: of ten minutes or so, or an hour.
_TIMED_SHARE, _TIMED_S = 0.55, (560.0, 900.0)
_HOURLY_SHARE, _HOURLY_PER_DAY, _HOURLY_S = 0.02, 3.0, (3_590.0, 3_660.0)
_MIN_PAUSE_S, _MAX_PAUSE_S = 15.0, 3_500.0
_SLOT_SPREAD = 0.6
_BORED_TEMPO, _BORED_PAUSES = 0.8, 1.5
_FRESH_ITEM, _FRESH_LOCAL = 0.5, 0.2
_OWN_TASTE = 0.5
_NUM_FAVOURITES = 64
_FAVOURITE_RATIO = 0.92
_ROUTE_HABIT = 0.35
_OWN_SHARE, _NEW_THING = 0.03, 0.5


@dataclasses.dataclass(frozen=True)
class History:
  """What one player did, in order of time.

  Attributes:
    event, design: [n] int64 rows of the world's names.
    second: [n] int64 seconds since the start of the window, not falling.
    links: [m, 4] int64: kind, argument, row of the cause, row of the effect.
    moves: [k, 4] float64, a row a change of map: see `_chances`.
  """

  event: np.ndarray
  design: np.ndarray
  second: np.ndarray
  links: np.ndarray
  moves: np.ndarray


class _Journey(NamedTuple):
  """Maps before and after each step, and the chances of each move."""

  before: np.ndarray
  after: np.ndarray
  chances: np.ndarray


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

  slot, step = _written(scripts, play, rng)
  event = scripts.event[slot]
  journey = _journey(world, traits, play, rng)
  design = _designs(world, traits, play, journey, slot, step, rng)
  moves = np.flatnonzero(scripts.kind[slot] == phrases_lib.MAP_NEW)
  told = play.script[step] < scripts_lib.NUM_RESERVED
  noisy, other = _noise(scripts.kind[slot], told, order_noise, rng)
  event[noisy] = scripts.event[slot[other]]
  design[noisy] = scripts.argument[slot[other]]

  gap = _gaps(scripts, traits, play, slot, step, num_days, rng)
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
  chances = journey.chances[: np.searchsorted(moves, end)]
  return History(event[:end], design[:end], second[:end], links, chances)


def _written(
    scripts: scripts_lib.Scripts,
    play: players_lib.Play,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
  """[n] slots of all events in order, and the step that each belongs to."""
  rows, step = play.script, np.arange(play.script.size)
  for level in (scripts.of_script, scripts.of_phrase, scripts.of_unit):
    times = _runs(level.again, rows, play.looped[step], rng)
    rows, step = np.repeat(rows, times), np.repeat(step, times)
    size = level.size[rows]
    first = np.cumsum(size) - size
    whole = np.repeat(np.arange(size.size), size)
    rows = level.start[rows][whole] + np.arange(whole.size) - first[whole]
    step = step[whole]
  # The first event is always there; whether another is, a loop knows.
  usual = rng.random(scripts.keep.size)[rows]
  draws = np.where(play.looped[step], usual, rng.random(rows.size))
  kept = (draws < scripts.keep[rows]) | (np.diff(step, prepend=-1) > 0)
  return rows[kept], step[kept]


def _runs(
    again: np.ndarray,
    rows: np.ndarray,
    looped: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
  """[n] how often each of `rows` runs: once or more, a geometric law.

  Whoever replays a loop does so to the letter: as often every time.
  """
  times = np.ones(rows.size, np.int64)
  usual = rng.random(again.size)
  open_ = np.flatnonzero(again[rows])
  row = rows[open_]
  draws = np.where(looped[open_], usual[row], rng.random(row.size))
  more = np.log(np.maximum(draws, 1e-9)) / np.log(again[row])
  times[open_] += more.astype(np.int64)
  return times


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
  plain = kind == phrases_lib.STATIC
  noisy = np.flatnonzero((rng.random(kind.size) < share) & plain & ~told)
  other = rng.integers(kind.size, size=noisy.size)
  swap = plain[other]
  return noisy[swap], other[swap]


def _designs(
    world: world_lib.World,
    traits: Traits,
    play: players_lib.Play,
    journey: _Journey,
    slot: np.ndarray,
    step: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
  """[n] design rows of the events of `slot`."""
  kind, design = world.scripts.kind[slot], world.scripts.argument[slot].copy()

  items = np.flatnonzero(kind == phrases_lib.ITEM)
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

  before, after = journey.before, journey.after
  design = np.where(
      kind == phrases_lib.MAP_NEW, world.first["map"] + after[step], design
  )
  design = np.where(
      kind == phrases_lib.MAP_OLD, world.first["map"] + before[step], design
  )
  local = np.flatnonzero(kind == phrases_lib.LOCAL)
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
      (scripts_lib.JOIN, phrases_lib.ARGUMENT, "faction", 1),
      (scripts_lib.DAILY, phrases_lib.OUTCOME, "tribute", 1),
      (scripts_lib.ACCEPT, phrases_lib.QUEST, "quest", world_lib.NUM_CHOICES),
      (scripts_lib.ACCEPT, phrases_lib.ARGUMENT, "choice", 1),
      (scripts_lib.REWARD, phrases_lib.QUEST, "quest", world_lib.NUM_CHOICES),
      (scripts_lib.REWARD, phrases_lib.OUTCOME, "outcome", 1),
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
) -> _Journey:
  """A Markov-2 walk over the maps, a move for each script that travels."""
  moves = world.scripts.travels[play.script]
  travels = np.flatnonzero(moves)
  # By habit, or in a loop, a script leads the same way again.
  usual = (play.script[travels] * 37 + traits.index * 11) % world_lib.ROUTES
  habit = np.where(play.looped[travels], 1.0, _ROUTE_HABIT)
  draws = np.where(
      rng.random(travels.size) < habit,
      usual,
      rng.integers(world_lib.ROUTES, size=travels.size),
  )
  home = int(rng.integers(world_lib.NUM_MAPS))
  place, column, visited, columns = home, 0, [home], [0]
  for draw in draws.tolist():
    column = world.routes.item(place, column, draw)
    place = world.neighbours.item(place, column)
    visited.append(place)
    columns.append(column)
  place_of, column_of = np.array(visited), np.array(columns)
  after = place_of[np.cumsum(moves)]
  chances = _chances(world, place_of[:-1], column_of[:-1], usual, habit)
  return _Journey(np.append(home, after[:-1]), after, chances)


def _chances(
    world: world_lib.World,
    place: np.ndarray,
    column: np.ndarray,
    usual: np.ndarray,
    habit: np.ndarray,
) -> np.ndarray:
  """[k, 4] what can be known of k moves before they are drawn, all [k].

  The probability of the likeliest next map and of the three likeliest: for
  who knows the player's habits and the script at hand (no model knows more),
  then for who knows the last two maps alone.
  """
  shares = world.route_shares[place, column]
  likely = np.zeros_like(shares)
  by_habit = world.routes[place, column, usual]
  likely[np.arange(place.size), by_habit] = habit
  likely += (1 - habit)[:, None] * shares
  return np.column_stack([
      np.sort(chance)[:, -top:].sum(1)
      for chance in (likely, shares)
      for top in (1, 3)
  ])


def _gaps(
    scripts: scripts_lib.Scripts,
    traits: Traits,
    play: players_lib.Play,
    slot: np.ndarray,
    step: np.ndarray,
    num_days: int,
    rng: np.random.Generator,
) -> np.ndarray:
  """[n] float seconds since the event before; exactly 0 for a tie."""
  # The first event of a step carries the rest before it.
  opens = np.diff(step, prepend=-1) > 0
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

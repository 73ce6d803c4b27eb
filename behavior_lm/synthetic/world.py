"""The world that synthetic players share: names, maps and scripts.

Every constant here, in synthetic_scripts and in synthetic_phrases was chosen so
that the logs' statistics stand near those of a real game server (see
experiments/studies/synthetic/run.py); none of its ids or sequences is used.
"""

import dataclasses
import functools

import numpy as np

from behavior_lm.logs import schema
from behavior_lm.synthetic import phrases as phrases_lib
from behavior_lm.synthetic import scripts as scripts_lib

FACTIONS = ("Faction_Sun", "Faction_Moon", "Faction_Tide", "Faction_Ash")
NUM_CHOICES = 4
NUM_QUESTS = 40
NUM_MAPS = 261
MAP_DEGREE = 6
# A uniform draw is one of ROUTES columns of the table of routes.
ROUTES = 64

# The event of a change of map (its design id is the new map) and its twin in
# the same second (the old map), as in the logs that the project reads.
TRANSFER_EVENT, LEAVE_EVENT = "400027", "400028"

_LOCALS_PER_MAP = 14
_NUM_ITEMS = 24_000
_NUM_OWN = 120_000
_NUM_NAMED = 96
_ITEM_SCALE, _ITEM_EXPONENT = 5.0, 0.85
_LOCAL_RATIO = 0.5
_ROUTE_CONCENTRATION = 0.35
_WORDS = (
    "Item", "Npc", "Fly", "Mail", "Guild", "Shop", "Pet", "Quest", "Arena",
    "Garden", "Mouse", "Forge", "Lamp", "Bridge", "Banner", "Ribbon", "Tea",
    "Kite", "Harbour", "Lantern",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class World:
  """Everything that all players share; read only.

  Attributes:
    event_names, design_names: ids; design row 0 is "no design".
    first: row in `design_names` where a group of designs begins.
    scripts: what players do, and what they do after it.
    neighbours: [NUM_MAPS, MAP_DEGREE] the maps that a map leads to.
    routes: [NUM_MAPS, MAP_DEGREE, ROUTES] the column of `neighbours` by which
      a player leaves a map, given the column that led into it: Markov-2.
    route_shares: [NUM_MAPS, MAP_DEGREE, MAP_DEGREE] the share of ROUTES that
      leads by each column.
  """

  event_names: list[str]
  design_names: list[str]
  first: dict[str, int]
  scripts: scripts_lib.Scripts
  neighbours: np.ndarray
  routes: np.ndarray
  route_shares: np.ndarray

  def item_design(self, family: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """Design rows; every family has its own order of fame."""
    return self.first["item"] + (family * 1931 + rank) % _NUM_ITEMS

  def local_design(self, place: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """Design rows of the characters that live on a map."""
    return self.first["local"] + place * _LOCALS_PER_MAP + rank

  def own_design(self, player: int, rank: np.ndarray) -> np.ndarray:
    """Design rows of a player's own things, rarely seen elsewhere."""
    return self.first["own"] + (player * 7919 + rank * 31) % _NUM_OWN


@functools.lru_cache(maxsize=4)
def build_world(seed: int) -> World:
  """The world of a seed; the same one every time."""
  rng = np.random.default_rng([seed, 0])
  designs, first = _name_designs(rng)
  neighbours, routes = _draw_maps(rng)
  return World(
      event_names=_name_events(rng),
      design_names=designs,
      first=first,
      scripts=scripts_lib.build_scripts(rng, _NUM_NAMED),
      neighbours=neighbours,
      routes=routes,
      route_shares=np.stack(
          [(routes == column).mean(-1) for column in range(MAP_DEGREE)], axis=-1
      ),
  )


def item_rank(draws: np.ndarray) -> np.ndarray:
  """Ranks of fame from uniform draws: a Lomax law, so new ones keep coming."""
  tail = np.maximum(draws, 1e-7) ** (-1 / _ITEM_EXPONENT) - 1
  return (_ITEM_SCALE * tail).astype(np.int64)


def local_rank(draws: np.ndarray) -> np.ndarray:
  """Geometric ranks below the number of a map's characters."""
  ranks = np.log(np.maximum(draws, 1e-9)) / np.log(_LOCAL_RATIO)
  return ranks.astype(np.int64) % _LOCALS_PER_MAP


def _name_events(rng: np.random.Generator) -> list[str]:
  numbers = rng.choice(
      np.arange(410_000, 990_000), phrases_lib.NUM_EVENTS, replace=False
  )
  names = [str(number) for number in numbers]
  names[phrases_lib.TRANSFER] = TRANSFER_EVENT
  names[phrases_lib.LEAVE] = LEAVE_EVENT
  names[phrases_lib.AI] = "ai"
  return names


def _name_designs(
    rng: np.random.Generator,
) -> tuple[list[str], dict[str, int]]:
  """All design ids, each once, and where each group begins."""
  words = [f"{a}_{b}" for a in _WORDS for b in _WORDS if a != b]
  groups = {
      "named": list(rng.permutation(words)[:_NUM_NAMED]),
      "map": _numbers(rng, 100, 1_000, NUM_MAPS),
      "local": _numbers(
          rng, 1_000, 90_000, NUM_MAPS * _LOCALS_PER_MAP
      ),
      "quest": _numbers(rng, 90_000, 99_999, NUM_QUESTS),
      "choice": _numbers(
          rng, 100_000, 150_000, NUM_QUESTS * NUM_CHOICES
      ),
      "outcome": _numbers(
          rng, 150_000, 200_000, NUM_QUESTS * NUM_CHOICES
      ),
      "faction": list(FACTIONS),
      "tribute": _numbers(rng, 200_000, 201_000, len(FACTIONS)),
      "item": _numbers(rng, 1_000_000, 9_000_000, _NUM_ITEMS),
      "own": _numbers(rng, 10_000_000, 99_000_000, _NUM_OWN),
  }
  # Real logs hold names and signs among the numbers.
  for row in range(7, _NUM_ITEMS, 41):
    groups["item"][row] = f"+{groups['item'][row]}"
  names, first = [schema.NO_DESIGN], {}
  for group, members in groups.items():
    first[group] = len(names)
    names += [str(member) for member in members]
  return names, first


def _numbers(
    rng: np.random.Generator, low: int, high: int, count: int
) -> list[str]:
  numbers = low + rng.choice(high - low, count, replace=False)
  return numbers.astype(str).tolist()


def _draw_maps(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
  """A graph with hubs, and what the way in says about the way out."""
  fame = phrases_lib.zipf(NUM_MAPS, 0.9)
  rows = []
  for own in range(NUM_MAPS):
    others = np.where(np.arange(NUM_MAPS) == own, 0.0, fame)
    rows.append(
        rng.choice(
            NUM_MAPS, MAP_DEGREE, replace=False, p=others / others.sum()
        )
    )
  neighbours = np.stack(rows)
  weights = rng.dirichlet(
      [_ROUTE_CONCENTRATION] * MAP_DEGREE, (NUM_MAPS, MAP_DEGREE)
  )
  draws = (np.arange(ROUTES) + 0.5) / ROUTES
  ends = weights.cumsum(-1)[..., None, :]
  routes = (draws[:, None] > ends).sum(-1).clip(max=MAP_DEGREE - 1)
  return neighbours, routes

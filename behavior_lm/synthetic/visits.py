"""Logs of visits to four maps, so plain that a small model finds their rules.

A visit begins with `enter` and ends with `leave` of the same map. In between,
players chat, walk or shop as they like, and fight once: a `fight` is followed
by `win` if it took long and by `lose` if it was short. So three things are to
be learned, and nothing else is:

- which map is left: that of the last `enter`, some events before;
- how a fight ends: the gap behind `fight` says it, and no event does;
- what a player likes: each has an own taste for maps and pastimes.
"""

import datetime

import numpy as np
import polars as pl

from behavior_lm.logs import schema

MAPS = 4
PASTIMES = ("chat", "shop", "walk")
START = datetime.datetime(2024, 3, 4, 10, tzinfo=datetime.UTC)
# Seconds, from and to.
FIGHT_LOST, FIGHT_WON = (2.0, 8.0), (40.0, 120.0)
BETWEEN_EVENTS, BETWEEN_VISITS = (2.0, 30.0), (1_200.0, 3_600.0)
# Below 1: tastes differ much.
_TASTE = 0.4


def visit_log(
    num_users: int = 60, num_days: int = 3, visits: int = 6, seed: int = 0
) -> pl.DataFrame:
  """A log of visits, sorted by user and time.

  Args:
    num_users, num_days: each user plays on each day, from `START` on.
    visits: on a day, of 6 to 10 events each.
    seed: of all that is drawn.

  Returns:
    user_id, event_id, design_id (the map of `enter` and `leave`, "0" else),
    timestamp.
  """
  rng = np.random.default_rng(seed)
  frames = []
  for user in range(num_users):
    maps = rng.dirichlet([_TASTE] * MAPS)
    pastimes = rng.dirichlet([_TASTE] * len(PASTIMES))
    for day in range(num_days):
      rows = [
          row
          for _ in range(visits)
          for row in _visit(rng, maps, pastimes)
      ]
      events, designs, gaps = zip(*rows, strict=True)
      before = np.cumsum([0.0, *gaps[:-1]])
      start = START + datetime.timedelta(days=day)
      frames.append(
          pl.DataFrame({
              schema.USER_ID: [f"u{user:03}"] * len(rows),
              "event_id": events,
              "design_id": designs,
              schema.TIMESTAMP: [
                  start + datetime.timedelta(seconds=round(seconds, 1))
                  for seconds in before.tolist()
              ],
          })
      )
  return pl.concat(frames)


def _visit(
    rng: np.random.Generator, maps: np.ndarray, pastimes: np.ndarray
) -> list[tuple[str, str, float]]:
  """Event, design and the seconds behind it, for each event of a visit."""
  gap = lambda limits: float(rng.uniform(*limits))
  some = lambda: [
      (PASTIMES[rng.choice(len(PASTIMES), p=pastimes)], "0",
       gap(BETWEEN_EVENTS))
      for _ in range(rng.integers(1, 4))
  ]
  place = str(1 + rng.choice(MAPS, p=maps))
  won = rng.random() < 0.5
  return [
      ("enter", place, gap(BETWEEN_EVENTS)),
      *some(),
      ("fight", "0", gap(FIGHT_WON if won else FIGHT_LOST)),
      ("win" if won else "lose", "0", gap(BETWEEN_EVENTS)),
      *some(),
      ("leave", place, gap(BETWEEN_VISITS)),
  ]

"""Seeded synthetic player logs with labels and the truth behind them.

The logs behave like a real game server's: most events are predictable from
the few before them, some only from a choice made thousands of events earlier;
gaps have heavy tails and many ties. Bots and players about to leave are among
the users, told apart more by order and timing than by counts.

What no column gives away: the user id says nothing of either label, the first
day and the number of events nothing of `bot`. `churn` is about what happens
AFTER the window: leavers are there to the end. What is behaviour, though it
looks like an artefact: bots play more at night (the share of night events
alone: AUC about .65), leavers play less and less (the number of events alone:
about .62; events in each third of the window: about .85).
"""

from collections.abc import Iterator, Sequence
import dataclasses
import datetime
import math
from typing import Any

import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.logs import schema
from behavior_lm.synthetic import events as events_lib
from behavior_lm.synthetic import labels as labels_lib
from behavior_lm.synthetic import players as players_lib
from behavior_lm.synthetic import scripts as scripts_lib
from behavior_lm.synthetic import world as world_lib

BOT, CHURN, NEXT_MAP = "bot", "churn", "next_map"
# Of the oracle, and of the players: expected hits among their moves.
_MOVE_COLUMNS = {
    name: f"{name}_hits"
    for name in ("top1", "top3", "markov2_top1", "markov2_top3")
}

_FRACTIONS = ("presence", "bot_fraction", "churn_fraction", "order_noise")


@dataclasses.dataclass(frozen=True)
class SyntheticConfig:
  """What to generate. A player depends on everything here but `num_users`.

  Attributes:
    seed: of the players.
    world_seed: of the game that they share; statistics are tuned on 0.
    num_users: players 0 .. num_users - 1.
    num_days: length of the window.
    start: its first day, YYYY-MM-DD, UTC.
    mean_events_per_day: of a player who stays, on a day that is played.
    presence: probability that a player plays on a day.
    bot_fraction, churn_fraction: of the hidden truth; blocks of 20 users hold
      just that many.
    label_noise: probability that a label is flipped, at most 0.5.
    order_noise: probability that a plain event (no map, item or quest) is
      replaced by another one of the player's.
  """

  seed: int = 0
  world_seed: int = 0
  num_users: int = 200
  num_days: int = 10
  start: str = "2024-03-04"
  mean_events_per_day: float = 2_935.0
  presence: float = 0.95
  bot_fraction: float = 0.25
  churn_fraction: float = 0.25
  label_noise: float = 0.03
  order_noise: float = 0.003

  def __post_init__(self) -> None:
    for name in ("num_users", "num_days", "mean_events_per_day"):
      if getattr(self, name) < 1:
        raise UserError(f"{name} is {getattr(self, name)}; give at least 1.")
    for name in ("seed", "world_seed"):
      if getattr(self, name) < 0:
        raise UserError(f"{name} is {getattr(self, name)}; give 0 or more.")
    for name in _FRACTIONS:
      if not 0 <= getattr(self, name) <= 1:
        raise UserError(
            f"{name} is {getattr(self, name)}; give a share from 0 to 1."
        )
    if not 0 <= self.label_noise <= 0.5:
      raise UserError(
          f"label_noise is {self.label_noise}; give a share from 0 to 0.5"
          " (beyond that labels would mean their opposite)."
      )
    try:
      self.first_day + datetime.timedelta(days=self.num_days)
    except (ValueError, OverflowError) as error:
      raise UserError(
          f"start is {self.start!r} with {self.num_days} days; give a first"
          " day as YYYY-MM-DD and a window that ends before the year 9999."
      ) from error

  @property
  def expected_events(self) -> float:
    """About how many events there will be."""
    days = self.num_users * self.num_days * self.presence
    return days * self.mean_events_per_day

  @property
  def first_day(self) -> datetime.datetime:
    """Midnight UTC of the first day."""
    day = datetime.date.fromisoformat(self.start)
    return datetime.datetime.combine(day, datetime.time(), datetime.UTC)


@dataclasses.dataclass(frozen=True)
class SyntheticLogs:
  """Logs and what is known of them.

  Attributes:
    events: canonical event table, sorted by user, then time.
    labels: user_id, bot, churn (0 or 1, Int8); one row a user.
    truth: what no model is shown:
      "config": the SyntheticConfig as a dict.
      "players": frame of user_id and the hidden traits (archetype, faction,
        bot and churn before the flips of labels, tempo, jitter, ...), and
        how many moves between maps there were and how many of them the
        oracles of "next_map" below would hit on average.
      "dependencies": frame of choices and the events that they decide:
        user_id, kind ("faction" or "quest"), choice (design id), num_choices
        (equally likely ones), cause_row and effect_row (rows of that user's
        events, from 0), distance (effect_row - cause_row).
      "oracle": the ceilings of every probe. Of a label: {"auc", "accuracy"} of
        the hidden truth as a score for these labels (auc None with one class),
        {"expected_auc", "expected_accuracy"} for infinitely many users, and
        "label_noise". Of "next_map": {"moves", "top1", "top3"}, the accuracy
        over these changes of map of who knows each player's habits, which no
        model can surpass, and {"markov2_top1", "markov2_top3"} of who knows
        the last two maps and infinitely many other players.
  """

  events: pl.DataFrame
  labels: pl.DataFrame
  truth: dict[str, Any]


def like_server_204(
    *,
    seed: int = 0,
    world_seed: int = 0,
    num_users: int = 100,
    num_days: int = 15,
) -> SyntheticConfig:
  """A sample as that of the real server that the world is calibrated on.

  Every player of the real sample plays every day: nobody leaves, but a bot may
  be among them.
  """
  return SyntheticConfig(
      seed=seed,
      world_seed=world_seed,
      num_users=num_users,
      num_days=num_days,
      presence=1.0,
      bot_fraction=0.1,
      churn_fraction=0.0,
  )


def with_events(config: SyntheticConfig, num_events: int) -> SyntheticConfig:
  """The config with as many users as make about `num_events` events.

  Raises:
    UserError: if nobody ever plays.
  """
  per_user = config.expected_events / config.num_users
  if not per_user:
    raise UserError(
        f"presence is {config.presence}: no number of users makes"
        f" {num_events:,} events."
    )
  num_users = max(round(num_events / per_user), 1)
  return dataclasses.replace(config, num_users=num_users)


def generate(config: SyntheticConfig) -> SyntheticLogs:
  """All users at once; the same config gives the same frames, row by row."""
  return join(config, list(generate_batches(config)))


def generate_batches(
    config: SyntheticConfig, users_per_batch: int = 64
) -> Iterator[SyntheticLogs]:
  """Groups of users, one after another, in memory that does not grow.

  A user's rows do not depend on the grouping nor on `num_users`.

  Raises:
    UserError: if `users_per_batch` is below 1.
  """
  if users_per_batch < 1:
    raise UserError(f"users_per_batch is {users_per_batch}; give 1 or more.")
  world = world_lib.build_world(config.world_seed)
  for first in range(0, config.num_users, users_per_batch):
    last = min(first + users_per_batch, config.num_users)
    yield _generate_users(config, world, range(first, last))


def join(
    config: SyntheticConfig, batches: Sequence[SyntheticLogs]
) -> SyntheticLogs:
  """Batches of `generate_batches` as one."""
  labels = pl.concat([batch.labels for batch in batches])
  players = pl.concat([batch.truth["players"] for batch in batches])
  links = pl.concat([batch.truth["dependencies"] for batch in batches])
  return SyntheticLogs(
      events=pl.concat([batch.events for batch in batches]),
      labels=labels,
      truth={
          "config": dataclasses.asdict(config),
          "players": players,
          "dependencies": links,
          "oracle": _oracle(config, labels, players),
      },
  )


def _generate_users(
    config: SyntheticConfig, world: world_lib.World, indices: range
) -> SyntheticLogs:
  traits = [
      labels_lib.draw_traits(
          config.seed,
          index,
          mean_events_per_day=config.mean_events_per_day,
          bot_fraction=config.bot_fraction,
          churn_fraction=config.churn_fraction,
          label_noise=config.label_noise,
      )
      for index in indices
  ]
  histories = [
      events_lib.simulate(
          world,
          player,
          seed=config.seed,
          num_days=config.num_days,
          first_weekday=config.first_day.weekday(),
          presence=config.presence,
          order_noise=config.order_noise,
      )
      for player in traits
  ]
  users = pl.Series(schema.USER_ID, [f"player{i:06d}" for i in indices])
  labels = pl.DataFrame({
      schema.USER_ID: users,
      BOT: [player.bot_label for player in traits],
      CHURN: [player.churn_label for player in traits],
  }).with_columns(pl.col(BOT, CHURN).cast(pl.Int8))
  hits = np.array([history.moves.sum(0) for history in histories])
  players = pl.DataFrame(
      [dataclasses.asdict(player) for player in traits]
  ).with_columns(
      pl.Series("moves", [len(history.moves) for history in histories]),
      *(
          pl.Series(column, hits[:, number])
          for number, column in enumerate(_MOVE_COLUMNS.values())
      ),
  )
  players = players.select(
      users,
      pl.col("archetype").replace_strict(
          dict(enumerate(scripts_lib.ARCHETYPES)), return_dtype=pl.String
      ),
      pl.col("faction").replace_strict(
          dict(enumerate(world_lib.FACTIONS)), return_dtype=pl.String
      ),
      pl.col("bot").cast(pl.Int8),
      pl.col("churner").cast(pl.Int8).alias(CHURN),
      pl.exclude(
          "index", "archetype", "faction", "bot", "churner", "bot_label",
          "churn_label",
      ),
  )  # fmt: skip
  return SyntheticLogs(
      events=_event_table(config, world, users, histories),
      labels=labels,
      truth={
          "config": dataclasses.asdict(config),
          "players": players,
          "dependencies": _dependencies(world, users, histories),
          "oracle": _oracle(config, labels, players),
      },
  )


def _event_table(
    config: SyntheticConfig,
    world: world_lib.World,
    users: pl.Series,
    histories: list[events_lib.History],
) -> pl.DataFrame:
  size = [history.event.size for history in histories]
  second = np.concatenate([history.second for history in histories])
  micros = (second + int(config.first_day.timestamp())) * 1_000_000
  events = np.concatenate([history.event for history in histories])
  designs = np.concatenate([history.design for history in histories])
  return pl.DataFrame(
      {
          schema.USER_ID: users.gather(np.repeat(np.arange(len(size)), size)),
          schema.EVENT_ID: pl.Series(world.event_names).gather(events),
          schema.DESIGN_ID: pl.Series(world.design_names).gather(designs),
          schema.TIMESTAMP: pl.Series(micros).cast(
              schema.EVENT_SCHEMA[schema.TIMESTAMP]
          ),
      },
      schema=schema.EVENT_SCHEMA,
  )


def _dependencies(
    world: world_lib.World,
    users: pl.Series,
    histories: list[events_lib.History],
) -> pl.DataFrame:
  links = np.concatenate([history.links for history in histories])
  counts = [len(history.links) for history in histories]
  owner = np.repeat(np.arange(len(histories)), counts)
  kind, choice, cause, effect = links.T
  quest = kind == players_lib.QUEST_LINK
  group = np.where(quest, world.first["choice"], world.first["faction"])
  return pl.DataFrame({
      schema.USER_ID: users.gather(owner),
      "kind": pl.Series(["faction", "quest"]).gather(quest.astype(np.int64)),
      "choice": pl.Series(world.design_names).gather(group + choice),
      "num_choices": np.where(
          quest, world_lib.NUM_CHOICES, len(world_lib.FACTIONS)
      ),
      "cause_row": cause,
      "effect_row": effect,
      "distance": effect - cause,
  })


def _oracle(
    config: SyntheticConfig, labels: pl.DataFrame, players: pl.DataFrame
) -> dict[str, dict[str, float | None]]:
  ceilings = {
      label: labels_lib.oracle(
          players[label].to_numpy(),
          labels[label].to_numpy(),
          fraction=fraction,
          label_noise=config.label_noise,
      )
      for label, fraction in (
          (BOT, config.bot_fraction),
          (CHURN, config.churn_fraction),
      )
  }
  moves = int(players["moves"].sum())
  ceilings[NEXT_MAP] = {
      "moves": moves,
      **{
          # Exact sums: the order of batches does not matter.
          name: math.fsum(players[column]) / moves if moves else None
          for name, column in _MOVE_COLUMNS.items()
      },
  }
  return ceilings

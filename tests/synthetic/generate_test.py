"""Synthetic logs: the same each time, canonical, and true to their truth."""

import dataclasses
import time

import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.logs import schema
from behavior_lm.synthetic import events as synthetic_events
from behavior_lm.synthetic import files as synthetic_files
from behavior_lm.synthetic import labels as synthetic_labels
from behavior_lm.synthetic import players as synthetic_players
from behavior_lm.synthetic import world as synthetic_world
from behavior_lm.synthetic.generate import generate
from behavior_lm.synthetic.generate import generate_batches
from behavior_lm.synthetic.generate import join
from behavior_lm.synthetic.generate import SyntheticConfig
from behavior_lm.synthetic.generate import with_events

SMALL = SyntheticConfig(num_users=25, num_days=4, mean_events_per_day=300.0)


@pytest.fixture(scope="module")
def logs():
  return generate(SMALL)


@pytest.fixture(scope="module")
def long_logs():
  """Few users, long histories: room for long quests."""
  return generate(
      SyntheticConfig(seed=3, num_users=12, num_days=6, order_noise=0.05)
  )


def numbered(events):
  """Adds `row`, the number of an event within its user."""
  row = pl.int_range(pl.len()).over(schema.USER_ID)
  return events.with_columns(row.cast(pl.Int64).alias("row"))


def at(logs, column):
  """Dependencies of a log joined with the event at `column`."""
  links = logs.truth["dependencies"]
  return links.join(
      numbered(logs.events),
      left_on=[schema.USER_ID, column],
      right_on=[schema.USER_ID, "row"],
      how="left",
      maintain_order="left",
  )


def test_the_same_config_gives_the_same_frames(logs):
  again = generate(SMALL)
  assert again.events.equals(logs.events)
  assert again.labels.equals(logs.labels)
  assert again.truth["dependencies"].equals(logs.truth["dependencies"])


def test_another_seed_gives_other_players_of_the_same_world(logs):
  other = generate(dataclasses.replace(SMALL, seed=1)).events
  assert not other.equals(logs.events)
  known = set(logs.events[schema.EVENT_ID].unique())
  assert other[schema.EVENT_ID].is_in(list(known)).mean() > 0.98


@pytest.mark.slow
def test_another_world_has_other_ids(logs):
  other = generate(dataclasses.replace(SMALL, world_seed=1)).events
  known = set(logs.events[schema.EVENT_ID].unique())
  assert other[schema.EVENT_ID].is_in(list(known)).mean() < 0.2


def test_events_are_canonical_sorted_and_inside_the_window(logs):
  events = logs.events
  assert events.schema == schema.EVENT_SCHEMA
  assert not events.null_count().sum_horizontal().sum()
  assert events.equals(
      events.sort(schema.USER_ID, schema.TIMESTAMP, maintain_order=True)
  )
  days = events[schema.TIMESTAMP].dt.strftime("%F")
  assert days.min() == "2024-03-04"
  assert days.max() <= "2024-03-07"


def test_a_user_does_not_depend_on_who_else_is_generated(logs):
  fewer = generate(dataclasses.replace(SMALL, num_users=7))
  users = fewer.labels[schema.USER_ID].to_list()
  same = logs.events.filter(pl.col(schema.USER_ID).is_in(users))
  assert fewer.events.equals(same)
  assert fewer.labels.equals(logs.labels.head(7))


@pytest.mark.parametrize("size", [1, 4, 100])
def test_batches_of_any_size_join_to_the_same_logs(logs, size):
  batches = list(generate_batches(SMALL, size))
  assert len(batches) == -(-SMALL.num_users // size)
  joined = join(SMALL, batches)
  assert joined.events.equals(logs.events)
  assert joined.labels.equals(logs.labels)
  for name in ("players", "dependencies"):
    assert joined.truth[name].equals(logs.truth[name])
  assert joined.truth["oracle"] == logs.truth["oracle"]


@pytest.mark.parametrize(
    "config",
    [
        SyntheticConfig(num_users=2, num_days=1, mean_events_per_day=1.0),
        SyntheticConfig(num_users=30, num_days=1, mean_events_per_day=5.0),
        SyntheticConfig(num_users=20, num_days=2, presence=0.0),
        SyntheticConfig(num_users=1, num_days=30, mean_events_per_day=20.0),
    ],
)
def test_every_user_has_events_however_small_the_log(config):
  logs = generate(config)
  assert logs.labels.height == config.num_users
  assert logs.events[schema.USER_ID].n_unique() == config.num_users


@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.5, 1.0])
def test_blocks_of_twenty_users_hold_the_asked_share_of_bots(fraction):
  config = SyntheticConfig(
      num_users=40, num_days=1, mean_events_per_day=5.0, bot_fraction=fraction
  )
  bots = generate(config).truth["players"]["bot"].to_numpy()
  assert bots.reshape(2, 20).sum(1).tolist() == [round(20 * fraction)] * 2


@pytest.mark.slow
def test_the_mean_number_of_events_is_the_asked_one():
  config = SyntheticConfig(
      num_users=300,
      num_days=4,
      mean_events_per_day=100.0,
      bot_fraction=0.0,
      churn_fraction=0.0,
  )
  events = generate(config).events
  day = pl.col(schema.TIMESTAMP).dt.date()
  mean = events.group_by(schema.USER_ID, day).len()["len"].mean()
  assert 85 < mean < 115


def test_ids_hold_words_and_signs_among_the_numbers(logs):
  assert "ai" in logs.events[schema.EVENT_ID]
  designs = logs.events[schema.DESIGN_ID].unique()
  assert designs.str.contains("^[A-Z][a-z]+_[A-Z][a-z]+$").any()
  assert designs.str.contains(r"^\+\d+$").any()
  assert designs.str.contains(r"^\d+$").mean() > 0.9


def test_each_transfer_names_the_map_that_is_left_in_the_same_second(logs):
  follows = numbered(logs.events).with_columns(
      pl.col(schema.EVENT_ID, schema.TIMESTAMP, schema.DESIGN_ID)
      .shift(-1)
      .over(schema.USER_ID)
      .name.prefix("next_")
  )
  moves = follows.filter(pl.col(schema.EVENT_ID) == "400027")
  assert moves.height > 100
  assert (moves["next_event_id"] == "400028").all()
  assert (moves["next_timestamp"] == moves[schema.TIMESTAMP]).all()
  # A journey: the map that is left is the one that was entered last.
  entered = moves[schema.DESIGN_ID].shift(1)
  same_user = moves[schema.USER_ID] == moves[schema.USER_ID].shift(1)
  assert (moves["next_design_id"] == entered).filter(same_user).all()


@pytest.mark.slow
def test_labels_are_the_truth_with_some_flips():
  logs = generate(
      SyntheticConfig(
          num_users=400,
          num_days=1,
          mean_events_per_day=2.0,
          label_noise=0.1,
      )
  )
  for label in ("bot", "churn"):
    flipped = logs.labels[label] != logs.truth["players"][label]
    assert 0.06 < flipped.mean() < 0.14
    oracle = logs.truth["oracle"][label]
    assert abs(oracle["auc"] - oracle["expected_auc"]) < 0.05
    assert oracle["label_noise"] == 0.1


def test_the_oracles_auc_is_the_area_under_its_curve():
  from sklearn.metrics import roc_auc_score

  rng = np.random.default_rng(0)
  hidden = rng.random(500) < 0.3
  labels = hidden ^ (rng.random(500) < 0.1)
  got = synthetic_labels.oracle_auc(hidden, labels)
  assert got == pytest.approx(roc_auc_score(labels, hidden))
  assert synthetic_labels.oracle_auc(hidden, np.ones(500)) is None
  assert synthetic_labels.expected_oracle_auc(0.0, 0.0) is None
  assert synthetic_labels.expected_oracle_auc(0.25, 0.0) == 1.0
  assert synthetic_labels.expected_oracle_auc(0.25, 0.5) == 0.5


def test_the_oracles_accuracy_is_the_share_of_right_labels():
  logs = generate(
      SyntheticConfig(
          num_users=200, num_days=1, mean_events_per_day=2.0, label_noise=0.1
      )
  )
  for label in ("bot", "churn"):
    right = logs.labels[label] == logs.truth["players"][label]
    oracle = logs.truth["oracle"][label]
    assert oracle["accuracy"] == right.mean()
    assert oracle["expected_accuracy"] == 0.9
    assert abs(oracle["accuracy"] - 0.9) < 0.07


def next_maps(logs):
  """Rows of (user, map before the last, last map, next map) from events."""
  moves = logs.events.filter(pl.col(schema.EVENT_ID) == "400027")
  maps = pl.col(schema.DESIGN_ID)
  return moves.select(
      schema.USER_ID,
      before=maps.shift(2).over(schema.USER_ID),
      last=maps.shift(1).over(schema.USER_ID),
      next=maps,
  ).drop_nulls()


def test_the_next_map_oracles_hit_as_often_as_they_say(long_logs):
  world = synthetic_world.build_world(0)
  oracle = long_logs.truth["oracle"]["next_map"]
  names = np.array(world.design_names)
  maps = names[world.first["map"] :][: synthetic_world.NUM_MAPS]
  number = {name: index for index, name in enumerate(maps)}
  hits = {1: 0, 3: 0}
  table = next_maps(long_logs)
  for _, before, last, following in table.iter_rows():
    column = list(world.neighbours[number[before]]).index(number[last])
    ways = np.bincount(
        world.routes[number[last], column], minlength=synthetic_world.MAP_DEGREE
    )
    likely = world.neighbours[number[last]][np.argsort(-ways, kind="stable")]
    for top in hits:
      hits[top] += number[following] in likely[:top]
  # All but the first move of each player.
  assert oracle["moves"] - 2 * 12 <= table.height <= oracle["moves"]
  assert table.height > 1_000
  for top, count in hits.items():
    share = oracle[f"markov2_top{top}"]
    assert count / table.height == pytest.approx(share, abs=0.04)
    assert oracle[f"top{top}"] > share


def test_who_knows_script_and_habit_hits_as_often_as_the_ceiling_says():
  world, rng = synthetic_world.build_world(0), np.random.default_rng(0)
  traits = synthetic_labels.draw_traits(
      0, 3, mean_events_per_day=100.0, bot_fraction=0.5, churn_fraction=0.5,
      label_noise=0.0,
  )  # fmt: skip
  steps = 6_000
  script = rng.choice(np.flatnonzero(world.scripts.travels), steps)
  looped = rng.random(steps) < 0.3
  none = np.zeros(steps, np.int64)
  play = synthetic_players.Play(script, none, none, looped, none, none)
  before, after, chances = synthetic_events._journey(world, traits, play, rng)
  column, hits = 0, 0
  for step in range(steps):
    ways = world.routes[before[step], column]
    chance = np.bincount(ways, minlength=synthetic_world.MAP_DEGREE) / ways.size
    usual = ways[(script[step] * 37 + traits.index * 11) % ways.size]
    habit = 1.0 if looped[step] else synthetic_events._ROUTE_HABIT
    chance = (1 - habit) * chance
    chance[usual] += habit
    maps = world.neighbours[before[step]]
    hits += maps[chance.argmax()] == after[step]
    assert chances[step, 0] == pytest.approx(chance.max())
    column = list(maps).index(after[step])
  assert hits / steps == pytest.approx(chances[:, 0].mean(), abs=0.015)
  assert chances[:, 0].mean() > chances[:, 2].mean() + 0.1
  assert (chances[:, 1] >= chances[:, 0]).all()


def test_about_as_many_events_as_asked_in_batches_of_bounded_size():
  config = with_events(dataclasses.replace(SMALL, presence=0.5), 30_000)
  assert config.num_users == 50
  assert config.expected_events == 30_000
  assert 0.6 < generate(config).events.height / 30_000 < 1.2
  assert synthetic_files.batch_size(config) == 0
  large = with_events(config, 100_000_000)
  users = synthetic_files.batch_size(large)
  expected = dataclasses.replace(large, num_users=users).expected_events
  assert 0.9e6 < expected <= synthetic_files.EVENTS_PER_BATCH


def test_causes_and_effects_are_the_events_that_the_truth_names(long_logs):
  causes, effects = at(long_logs, "cause_row"), at(long_logs, "effect_row")
  assert causes.height > 300
  # The cause shows the choice; a choice of a quest has one outcome.
  assert (causes[schema.DESIGN_ID] == causes["choice"]).all()
  assert causes[schema.EVENT_ID].n_unique() == 2
  assert effects[schema.EVENT_ID].n_unique() == 2
  for (_,), same in effects.group_by("choice"):
    assert same[schema.DESIGN_ID].n_unique() == 1
  assert effects.group_by("choice").len().height == (
      effects[schema.DESIGN_ID].n_unique()
  )
  assert (effects["distance"] > 0).all()
  apart = effects["effect_row"] - effects["cause_row"]
  assert (effects["distance"] == apart).all()


def test_choices_decide_events_that_come_thousands_of_events_later(long_logs):
  links = long_logs.truth["dependencies"]
  quests = links.filter(pl.col("kind") == "quest")
  assert (quests["distance"] > 1_000).sum() > 50
  assert quests["distance"].max() > 4_000
  assert links.filter(pl.col("kind") == "faction")["distance"].max() > 8_000


def test_an_outcome_cannot_be_guessed_without_its_choice(long_logs):
  """Nothing between cause and effect tells; the options are equally likely."""
  effects = at(long_logs, "effect_row").filter(pl.col("kind") == "quest")
  before = numbered(long_logs.events).with_columns(pl.col("row") + 1)
  quest = effects.join(
      before.select(schema.USER_ID, "row", quest=schema.DESIGN_ID),
      left_on=[schema.USER_ID, "effect_row"],
      right_on=[schema.USER_ID, "row"],
  )
  best = quest.group_by("quest", schema.DESIGN_ID).len()
  best = best.group_by("quest").agg(
      pl.col("len").max().alias("guessed"), pl.col("len").sum().alias("all")
  )
  # One in four, and more by luck: there are few of each quest.
  assert best["guessed"].sum() / best["all"].sum() < 0.55
  # A choice shows up in its own event alone.
  choices = effects["choice"].unique()
  shown = long_logs.events.filter(
      pl.col(schema.DESIGN_ID).is_in(choices.to_list())
  )
  assert shown[schema.EVENT_ID].n_unique() == 1


def test_more_order_noise_makes_the_next_event_harder_to_guess():
  def bigram_hits(noise):
    events = generate(dataclasses.replace(SMALL, order_noise=noise)).events
    events = events.with_columns(
        pl.col(schema.EVENT_ID).shift(-1).over(schema.USER_ID).alias("next")
    ).drop_nulls("next")
    pairs = events.group_by(schema.EVENT_ID, "next").len()
    return pairs.group_by(schema.EVENT_ID).agg(pl.col("len").max())[
        "len"
    ].sum() / events.height

  assert bigram_hits(0.0) > bigram_hits(0.3) + 0.1


def test_a_million_events_take_seconds():
  config = SyntheticConfig(num_users=30, num_days=12)
  generate(dataclasses.replace(config, num_users=1, num_days=1))
  started = time.process_time()
  events = generate(config).events
  seconds = time.process_time() - started
  # About 0.3 s of processor time; ten times as much on a slow machine.
  assert seconds / events.height * 1e6 < 5


@pytest.mark.parametrize(
    "wrong, says",
    [
        ({"num_users": 0}, "num_users is 0; give at least 1"),
        ({"num_days": -1}, "num_days is -1"),
        ({"mean_events_per_day": 0.5}, "mean_events_per_day is 0.5"),
        ({"seed": -1}, "seed is -1; give 0 or more"),
        ({"bot_fraction": 1.5}, "bot_fraction is 1.5; give a share from 0"),
        ({"presence": -0.1}, "presence is -0.1"),
        ({"label_noise": 0.6}, "label_noise is 0.6; give a share from 0 to"),
        ({"start": "4 March"}, "start is '4 March'"),
        ({"start": "9999-12-30"}, "a window that ends before the year 9999"),
    ],
)
def test_a_wrong_setting_is_named(wrong, says):
  with pytest.raises(UserError, match=says):
    SyntheticConfig(**wrong)


def test_batches_need_a_user():
  with pytest.raises(UserError, match="users_per_batch is 0; give 1 or more"):
    next(generate_batches(SMALL, 0))

"""Who a synthetic player is: hidden traits, labels, and what can be known.

Labels are the hidden traits with some of them flipped, so that not even an
oracle that sees the traits reaches an AUC of 1. Bots and humans, leavers and
stayers overlap in every single trait; order and timing tell more than counts.
"""

import dataclasses
import math

import numpy as np

# Users are drawn in blocks with a fixed number of positives, so that a small
# log has both classes; a player depends on its own block alone.
_BLOCK = 20
_BOT_STREAM, _CHURN_STREAM, _TRAIT_STREAM = 1, 2, 3
_HEAVY_STREAM = 6
_NUM_FACTIONS = 4

# Archetypes: fighter, trader, explorer, social, idler.
_HUMAN_KINDS = (0.16, 0.21, 0.2, 0.31, 0.12)
_BOT_KINDS = (0.42, 0.18, 0.3, 0.02, 0.08)
# Humans who let a macro play for them now and then; they are not bots.
_MACRO_SHARE = 0.2
_HEAVY_SHARE = 0.17
# Stayers with a slack week, and stayers who play a little less by the end.
_SLUMP_SHARE = 0.4
_EASING_SHARE = 0.25


@dataclasses.dataclass(frozen=True)
class Traits:
  """One player.

  Attributes:
    index: number of the player.
    archetype, faction: indices.
    bot, churner: hidden truth.
    bot_label, churn_label: what the labels file says.
    volume: mean events of a full day.
    tempo: factor on all gaps.
    jitter: standard deviation of the log of a gap.
    idleness: probability of a pause of minutes before a script.
    duty: probability of the faction's tribute in a session.
    habit: probability of the player's own favourite next script.
    loop_share: share of the play that repeats a recorded loop.
    loop_length: scripts in a loop.
    phase: hours by which the player's day is shifted.
    rhythm: 0 plays around the clock, 1 keeps the hours of the day.
    boredom: from 0 to 1, how much of an idler the player is after `onset`.
    onset: share of the window after which activity changes for good.
    final_level: activity at the end of the window; 1 = unchanged.
    slump_start, slump_level: a dip of a quarter of the window; level 1 = none.
  """

  index: int
  archetype: int
  faction: int
  bot: bool
  churner: bool
  bot_label: bool
  churn_label: bool
  volume: float
  tempo: float
  jitter: float
  idleness: float
  duty: float
  habit: float
  loop_share: float
  loop_length: int
  phase: float
  rhythm: float
  boredom: float
  onset: float
  final_level: float
  slump_start: float
  slump_level: float


def draw_traits(
    seed: int,
    index: int,
    *,
    mean_events_per_day: float,
    bot_fraction: float,
    churn_fraction: float,
    label_noise: float,
) -> Traits:
  """The traits of player `index`; they depend on nothing but the arguments."""
  bot = _positive(seed, _BOT_STREAM, index, bot_fraction)
  churner = _positive(seed, _CHURN_STREAM, index, churn_fraction)
  rng = np.random.default_rng([seed, _TRAIT_STREAM, index])
  flips = rng.random(2) < label_noise
  # A third of the players make most of the traffic.
  heavy = _positive(seed, _HEAVY_STREAM, index, _HEAVY_SHARE)
  spread = rng.normal(0, 0.28) + heavy * rng.uniform(0.7, 2.0)
  macro = rng.random() < _MACRO_SHARE
  loops = rng.uniform(0.45, 0.95) if bot else macro * rng.uniform(0.1, 0.5)
  easing = rng.random() < _EASING_SHARE
  final = 1.0
  if churner:
    final = rng.uniform(0.05, 0.5)
  elif easing:
    final = rng.uniform(0.4, 0.9)
  boredom = 0.0
  if churner:
    boredom = rng.uniform(0.4, 1.0)
  elif easing:
    boredom = rng.uniform(0.0, 0.4)
  slump = not churner and rng.random() < _SLUMP_SHARE
  return Traits(
      index=index,
      archetype=int(
          rng.choice(len(_BOT_KINDS), p=_BOT_KINDS if bot else _HUMAN_KINDS)
      ),
      faction=int(rng.integers(_NUM_FACTIONS)),
      bot=bot,
      churner=churner,
      bot_label=bool(bot ^ flips[0]),
      churn_label=bool(churner ^ flips[1]),
      volume=mean_events_per_day * 0.83 * math.exp(spread),
      tempo=math.exp(rng.normal(0, 0.25)),
      jitter=rng.uniform(0.2, 0.8) if bot else rng.uniform(0.6, 1.2),
      idleness=rng.uniform(0.08, 0.55) if bot else rng.uniform(0.25, 0.8),
      duty=rng.uniform(0.15, 0.7) if bot else rng.uniform(0.5, 1.0),
      habit=rng.uniform(0.15, 0.5),
      loop_share=float(loops),
      loop_length=int(rng.integers(4, 25)),
      phase=rng.normal(0, 1.0),
      rhythm=rng.uniform(0.5, 0.95) if bot else rng.uniform(0.85, 1.0),
      boredom=boredom,
      onset=rng.uniform(0.2, 0.65),
      final_level=float(final),
      slump_start=rng.uniform(0.0, 0.5),
      slump_level=rng.uniform(0.2, 0.7) if slump else 1.0,
  )


def oracle(
    hidden: np.ndarray,
    labels: np.ndarray,
    *,
    fraction: float,
    label_noise: float,
) -> dict[str, float | None]:
  """What the best of all models can reach on a label: one that sees `hidden`.

  Args:
    hidden, labels: [users] 0/1 truth and label.
    fraction: of positives that the truth was drawn with.
    label_noise: share of labels flipped, at most 0.5.

  Returns:
    auc, accuracy: of `hidden` as the score of these labels. expected_auc,
    expected_accuracy: the same for infinitely many users. label_noise.
  """
  return {
      "auc": oracle_auc(hidden, labels),
      "expected_auc": expected_oracle_auc(fraction, label_noise),
      "accuracy": float((hidden.astype(bool) == labels.astype(bool)).mean()),
      "expected_accuracy": 1.0 - label_noise,
      "label_noise": label_noise,
  }


def oracle_auc(hidden: np.ndarray, labels: np.ndarray) -> float | None:
  """AUC of the hidden 0/1 truth as a score for the 0/1 labels.

  It is the ceiling for every probe: the flips are independent of the logs.
  None when only one class of labels is there.
  """
  hidden, labels = hidden.astype(bool), labels.astype(bool)
  if labels.all() or not labels.any():
    return None
  # Of a score with two values: the mean of sensitivity and specificity.
  return float((hidden[labels].mean() + (~hidden[~labels]).mean()) / 2)


def expected_oracle_auc(fraction: float, label_noise: float) -> float | None:
  """`oracle_auc` of infinitely many players; None with one class."""
  positive = fraction * (1 - label_noise) + (1 - fraction) * label_noise
  if not 0 < positive < 1:
    return None
  sensitivity = fraction * (1 - label_noise) / positive
  specificity = (1 - fraction) * (1 - label_noise) / (1 - positive)
  return (sensitivity + specificity) / 2


def _positive(seed: int, stream: int, index: int, fraction: float) -> bool:
  rng = np.random.default_rng([seed, stream, index // _BLOCK])
  count = int(fraction * _BLOCK + rng.random())
  return bool(rng.permutation(_BLOCK)[index % _BLOCK] < count)

"""Prompts: what is known before an interaction, as a sentence.

A prompt holds the user's interactions strictly before the time of the row. It
holds what others wrote about the item strictly before, from training rows
alone. The row's own rating and text never enter.
"""

from collections.abc import Mapping
import string

import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError

# What stands behind the domain: the item comes first, so that a prompt that is
# too long loses the oldest of the history.
DEFAULT = "{domain}. Item: {item}. Others said: {reviews}. User: {history}."
PLACES = ("domain", "item", "reviews", "history")
# What stands for something that there is not.
NOTHING = "nothing"


def make_prompts(
    frame: pl.DataFrame,
    *,
    templates: Mapping[str, str] | None = None,
    history_length: int = 3,
    num_reviews: int = 2,
    text_length: int = 60,
) -> list[str]:
  """One prompt for each interaction.

  Args:
    frame: see `interactions`, sorted by time.
    templates: {domain: text with `PLACES` in braces}; "" is the template of
      all others.
    history_length: earlier interactions of the user in a prompt, the newest
      first.
    num_reviews: earlier texts of others about the item, the newest first.
    text_length: characters of each of these texts at most.

  Raises:
    UserError: if a template names a place that there is not.
  """
  templates = {"": DEFAULT} | dict(templates or {})
  for domain, template in templates.items():
    _check(domain, template)
  users = earlier(frame, ["user_id"], history_length, np.ones(len(frame), bool))
  items = earlier(frame, ["item"], num_reviews, frame["told"].to_numpy())
  told = _tell(frame, text_length)
  join = lambda rows: "; ".join(told[row] for row in rows) or NOTHING
  return [
      templates.get(domain, templates[""]).format(
          domain=domain.replace("_", " "),
          item=item_text or NOTHING,
          reviews=join(items[row]),
          history=join(users[row]),
      )
      for row, (domain, item_text) in enumerate(
          zip(frame["domain"], frame["item_text"], strict=True)
      )
  ]


def earlier(
    frame: pl.DataFrame, keys: list[str], count: int, visible: np.ndarray
) -> list[list[int]]:
  """The last rows of the same domain and keys strictly before each row.

  Args:
    frame: sorted by time.
    keys: columns beside `domain` that must be equal.
    count: rows at most, the newest first.
    visible: [n] bool, the rows that may be seen.
  """
  codes = group_codes(frame, keys)
  times = frame["time"].to_numpy()
  found: list[list[int]] = []
  before: dict[int, list[int]] = {}
  waiting: list[int] = []
  for row, time in enumerate(times):
    # Rows of the present time wait until time goes on.
    if waiting and times[waiting[0]] < time:
      for number in waiting:
        before.setdefault(codes[number], []).append(number)
      waiting = []
    found.append(before.get(codes[row], [])[: -count - 1 : -1])
    if visible[row]:
      waiting.append(row)
  return found


def group_codes(frame: pl.DataFrame, keys: list[str]) -> np.ndarray:
  """[n] int64, equal where domain and keys are."""
  both = pl.struct("domain", *keys).rank("dense")
  return frame.select(both.cast(pl.Int64)).to_series().to_numpy()


def _tell(frame: pl.DataFrame, text_length: int) -> list[str]:
  """What an earlier interaction looks like in a prompt."""
  text = pl.col("text").str.slice(0, text_length)
  # Where ratings are 1 and 0, they are no stars.
  stars = pl.format("{} ({} stars)", text, pl.col("rating").cast(pl.Int64))
  word = pl.when(pl.col("label") == 1).then(pl.lit("liked"))
  words = pl.format("{} {}", word.otherwise(pl.lit("disliked")), text)
  has_stars = pl.col("rating").max().over("domain") > 1
  return (
      frame.select(pl.when(has_stars).then(stars).otherwise(words))
      .to_series()
      .to_list()
  )


def _check(domain: str, template: str) -> None:
  try:
    named = {name for _, name, _, _ in string.Formatter().parse(template)}
  except ValueError as error:
    raise UserError(f"template of {domain!r}: {error}.") from error
  if unknown := named - {*PLACES, None}:
    raise UserError(
        f"template of {domain!r}: has no place {', '.join(map(repr, unknown))};"
        f" there are {', '.join(PLACES)}."
    )

"""Requests made of a log of actions: a user's hour among what others did.

Logs such as Taobao's hold what users did and not what they were shown. A
request is one hour of one user, at the time of its first action. Its candidates
are the items of that hour, labelled by what was done with them, and items that
are drawn from the actions of all users on the same day. A draw from the
training days would tell the two apart: most items of a later day are new.
"""

from collections.abc import Mapping

import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.data.samples.history import History
from behavior_lm.logs import schema
from behavior_lm.logs.dataset import Dataset

CATEGORY = "category"
_KEY = ("user", "time")


def dataset_actions(dataset: Dataset) -> pl.DataFrame:
  """user, event, item, stamp and category of all events of a dataset.

  Raises:
    UserError: if the dataset keeps no categories of items.
  """
  history = History(dataset)
  names = dataset.categories(CATEGORY)
  parts = []
  for number in range(history.num_sequences):
    example = history.read(number)
    pairs = history.pairs[example["pair"]]
    parts.append(
        pl.DataFrame({
            "event": pairs[schema.EVENT_ID],
            "item": pairs[schema.DESIGN_ID],
            "stamp": example[schema.TIMESTAMP],
            "code": example[CATEGORY].astype(np.int64),
        }).with_columns(pl.lit(example[schema.USER_ID]).alias("user"))
    )
  known = names.select(
      pl.col("code").cast(pl.Int64), pl.col("value").alias(CATEGORY)
  )
  return pl.concat(parts).join(
      known, on="code", how="left", maintain_order="left"
  ).drop("code")


def user_hours(
    actions: pl.DataFrame,
    heads: Mapping[str, str],
    *,
    drawn: int,
    seed: int = 0,
) -> pl.DataFrame:
  """The rows of requests.

  Args:
    actions: see `dataset_actions`; `stamp` in microseconds UTC.
    heads: {event id: name of the head}; other events are no actions.
    drawn: candidates of each request that are drawn; fewer remain where they
      coincide with each other or with the items of the hour.
    seed: of the draw.

  Returns:
    user, time (microseconds of the first action of the hour), item, category
    and a column of 0 and 1 per head, sorted by user and time.

  Raises:
    UserError: if no event is an action.
  """
  actions = actions.filter(pl.col("event").is_in(list(heads)))
  if not actions.height:
    raise UserError(f"the log has no event among {', '.join(heads)}.")
  hour, day = 3_600_000_000, 86_400_000_000
  actions = actions.with_columns(
      pl.col("stamp").min().over("user", pl.col("stamp") // hour).alias("time")
  )
  own = actions.group_by(*_KEY, "item").agg(
      (pl.col("event") == event).any().cast(pl.Int8).alias(head)
      for event, head in heads.items()
  )
  requests = own.select(_KEY).unique().sort(_KEY)
  rng = np.random.default_rng(seed)
  pool = {
      at[0]: part["item"]
      for at, part in actions.sort("stamp", "user", "item").group_by(
          pl.col("stamp") // day, maintain_order=True
      )
  }
  # A request lies in the day of its first action.
  draws = [
      pool[at].gather(rng.integers(0, len(pool[at]), drawn)).to_list()
      for at in requests["time"] // day
  ]
  others = (
      requests.with_columns(pl.Series("item", draws, dtype=pl.List(pl.String)))
      .explode("item")
      .drop_nulls("item")
      .unique()
      .join(own, on=[*_KEY, "item"], how="anti")
      .with_columns(pl.lit(0, pl.Int8).alias(head) for head in heads.values())
  )
  category = actions.group_by("item").agg(pl.col(CATEGORY).min())
  return (
      pl.concat([own, others.select(own.columns)])
      .join(category, on="item", how="left")
      .sort(*_KEY, "item")
  )

"""Real user-days of one server, tokenised; needs the real logs."""

import datetime

import polars as pl


def user_days(data_root):
  """Pairs of map_204 as (train, test, vocabulary): 7,000 and one for rest."""
  events = pl.read_parquet(
      data_root / "justice" / "map_204.parquet",
      columns=["user_id", "event_id", "design_id", "timestamp"],
  )
  events = events.with_columns(day=pl.col("timestamp").dt.date())
  events = events.sort("user_id", "timestamp", maintain_order=True)
  is_train = pl.col("day") < datetime.date(2019, 12, 15)
  pair = ["event_id", "design_id"]
  vocabulary = (
      events.filter(is_train)
      .group_by(pair)
      .len()
      .sort("len", *pair, descending=[True, False, False])
      .head(7_000)
      .with_row_index("token")
  )
  tokens = events.join(
      vocabulary, on=pair, how="left", maintain_order="left"
  ).with_columns(pl.col("token").fill_null(7_000).cast(pl.Int32))
  days = tokens.group_by("user_id", "day", maintain_order=True).agg("token")
  split = [days.filter(is_train), days.filter(~is_train)]
  return *([s.to_numpy() for s in part["token"]] for part in split), 7_001

"""A small dataset and config that train in a second or two."""

from pathlib import Path

import numpy as np
import polars as pl

from behavior_lm.common.progress import CommandProgress
from behavior_lm.logs import ingest
from configs.pretrain import get_config

DAY_US = 86_400_000_000
START = 19_700 * DAY_US  # 2023-12-09
SPLIT_TIME = "2023-12-11"
SHOPS = (None, "north", "south")


def tiny_events(num_users=6, num_days=3, events_a_day=90) -> pl.DataFrame:
  """Users who repeat a chain of events, with slips, at steady gaps."""
  rng = np.random.default_rng(0)
  frames = []
  for user in range(num_users):
    for day in range(num_days):
      chain = (np.arange(events_a_day) * (1 + user % 3)) % 11
      slips = rng.random(events_a_day) < 0.1
      events = np.where(slips, rng.integers(0, 11, events_a_day), chain)
      gaps = rng.integers(0, 4, events_a_day) * 700_000
      times = START + day * DAY_US + 3_600_000_000 + np.cumsum(gaps)
      frames.append(
          pl.DataFrame({
              "user_id": [f"user{user}"] * events_a_day,
              "event_id": [f"e{event}" for event in events],
              "design_id": [str(event % 4) for event in events],
              "timestamp": times,
              # Half of it unknown; only read with extras=("level",).
              "level": [[None, user + 0.5][i % 2] for i in range(len(times))],
              # Only read with extras=("shop:cat",).
              "shop": [SHOPS[i % 3] for i in range(len(times))],
          })
      )
  time = pl.col("timestamp").cast(pl.Datetime("us", "UTC"))
  return pl.concat(frames).with_columns(time)


def tiny_dataset(folder: Path, **options) -> Path:
  """A prepared dataset with the splits train and test."""
  logs = folder / "logs.parquet"
  tiny_events().write_parquet(logs)
  out = folder / "dataset"
  values = dict(logs=str(logs), out=str(out), split_time=SPLIT_TIME) | options
  ingest.prepare(ingest.Options(**values), CommandProgress())
  return out


def tiny_config(
    dataset: Path, model="bert", objective="masked_events", **changes
):
  """`changes` are dotted keys with "__" for the dot: data__pack=False."""
  config = get_config(
      f"model={model},objective={objective},size=tiny,runlocal=1"
  )
  config.data.path = str(dataset)
  config.data.max_length = 32
  config.data.batch_size = 4
  if model in ("bert", "albert"):
    # Their layers are alike, and each of them is traced and compiled.
    config.model.num_layers = 1
  config.model.embed_dim = 16
  config.model.mlp_dim = 32
  config.log_every = 1
  config.checkpoint_every = 7
  for key, value in changes.items():
    place = config
    *parents, last = key.split("__")
    for parent in parents:
      place = place[parent]
    with place.ignore_type():
      place[last] = value
  return config

"""A tiny pretrained run and labels, for the tests of fine-tuning."""

from pathlib import Path

import polars as pl

from behavior_lm.recipes.train import train
from configs.finetune import get_config
from tests.tiny import tiny_config

NUM_USERS = 6


def pretrained(dataset: Path, folder: Path) -> Path:
  """A run of one step: that it is another one than at random is enough."""
  config = tiny_config(dataset, total_steps=1, model__num_layers=2)
  train(config, folder)
  return folder


def labels_file(folder: Path) -> Path:
  """Every third user is a bot, twice: the tiny users repeat by threes."""
  path = folder / "labels.csv"
  pl.DataFrame({
      "user_id": [f"user{i}" for i in range(NUM_USERS)],
      "bot": [int(i % 3 == 1) for i in range(NUM_USERS)],
      "spend": [float(i) for i in range(NUM_USERS)],
  }).write_csv(path)
  return path


def finetune_config(run: Path, labels: Path, mode: str = "full", **changes):
  """`changes` are dotted keys with "__" for the dot."""
  config = get_config(f"task=bot,run={run},labels={labels},mode={mode}")
  config.epochs = 0
  config.total_steps = 2
  config.data.batch_size = 2
  config.data.max_segments = 2
  # Three users train: one or two of them bots, whatever the seed is.
  config.split.valid_share = config.split.test_share = 0.25
  config.evals.valid.every = 2
  config.log_every = 1
  for key, value in changes.items():
    place = config
    *parents, last = key.split("__")
    for parent in parents:
      place = place[parent]
    with place.ignore_type():
      place[last] = value
  return config

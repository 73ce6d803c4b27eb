"""A log of scripts and people, with labels of every kind."""

import functools
import pathlib

import numpy as np
import polars as pl

from behavior_lm.common.progress import CommandProgress
from behavior_lm.downstream import models
from behavior_lm.downstream import task_data
from behavior_lm.downstream.tasks import Task
from tests.logs.support import log_files

NUM_USERS = 40
QUIET = CommandProgress(quiet=True)


def write(folder: pathlib.Path, num_users=NUM_USERS, prefix="u"):
  """Writes log.csv and labels.csv; odd users are scripts."""
  rng = np.random.default_rng(num_users)
  rows = []
  for user in range(num_users):
    script = user % 2
    seconds = 86_400.0 * (user % 5)
    for place in range(12):
      event = place % 3 if script and rng.random() < 0.8 else rng.integers(6)
      seconds += 10 if script else int(rng.integers(1, 60))
      name = f"{prefix}{user:02}"
      rows.append(log_files.row(name, f"e{event}", "0", seconds))
  log = log_files.write_csv(folder / "log.csv", rows)
  labels = pl.DataFrame({
      "user_id": [f"{prefix}{user:02}" for user in range(num_users)],
      "bot": [user % 2 for user in range(num_users)],
      "speed": [float(user % 2) + user / 100 for user in range(num_users)],
      "team": [("red", "blue")[user % 2] for user in range(num_users)],
      "tags": [("a|b", "b")[user % 2] for user in range(num_users)],
  })
  labels.write_csv(folder / "labels.csv")
  return log, folder / "labels.csv"


@functools.cache
def _prepared(folder: pathlib.Path):
  log, _ = write(folder)
  return log_files.prepared(log, folder / "data", timezone="UTC")


def read(folder, label="bot", kind="binary", labels=None, **changes):
  """The data of one task on the log in a folder."""
  dataset = _prepared(folder)
  task = Task("table", label, kind, **changes)
  part = task_data.read_part(
      dataset, str(labels or folder / "labels.csv"), task
  )
  return task_data.gather([part], task, QUIET)


def make_models_small(monkeypatch):
  monkeypatch.setattr(models, "NUM_TREES", 8)
  monkeypatch.setattr(models, "NUM_ROUNDS", 4)
  monkeypatch.setattr(models, "STRENGTHS", (1e-2,))

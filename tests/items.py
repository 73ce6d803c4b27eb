"""Small logs of items, with a pattern that a model can learn."""

from pathlib import Path

import numpy as np

from behavior_lm.common.progress import CommandProgress
from behavior_lm.logs import ingest


def item_dataset(
    folder: Path, num_users: int = 24, num_items: int = 15
) -> Path:
  """Users who go round the items, each from a place and in steps of their own.

  User 0 has one item alone, and item "rare" is in a test event alone.
  """
  rng = np.random.default_rng(0)
  lines = ["0 i3"]
  for user in range(1, num_users):
    size = int(rng.integers(3, 14))
    items = (user * 4 + np.arange(size) * (1 + user % 2)) % num_items
    names = [f"i{item}" for item in items]
    if user == 1:
      names[-1] = "rare"
    lines.append(" ".join([str(user), *names]))
  log = folder / "log.txt"
  log.write_text("\n".join(lines) + "\n")
  out = folder / "dataset"
  options = ingest.Options(
      logs=str(log),
      out=str(out),
      log_format="s3rec",
      unit="user",
      leave_one_out=True,
  )
  ingest.prepare(options, CommandProgress())
  return out

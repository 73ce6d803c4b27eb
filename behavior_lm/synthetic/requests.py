"""Generated requests: users are shown items, and click or hide them.

Each user has a taste among the tags of items, and a mood: the tag of the last
click draws the next one. So the row's features, the user and the last actions
all say something about a click. Made-up ids and times alone.
"""

from collections.abc import Iterator
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from behavior_lm.common.files import whole_file

SPLITS = ("train", "valid", "test")
_TAGS = ("red", "green", "blue", "gold", "grey")
_START, _HOUR = 1_700_000_000, 3_600


@dataclasses.dataclass(frozen=True)
class RequestConfig:
  """How much is generated.

  Attributes:
    num_users, num_items: of the shop.
    requests: of each user.
    candidates: of each request.
    seed: another one is another shop.
  """

  num_users: int = 60
  num_items: int = 80
  requests: int = 12
  candidates: int = 4
  seed: int = 0


def write_requests(folder: Path, config: RequestConfig) -> dict[str, int]:
  """Writes train, valid and test.parquet, cut by time.

  Args:
    folder: made if absent.
    config: how much.

  Returns:
    {split: rows}. Columns: user, time (seconds), item, tags, price (0 to 1000,
    some missing), device, click, hide.
  """
  frame = pl.DataFrame(list(_rows(config))).sort("time", maintain_order=True)
  folder.mkdir(parents=True, exist_ok=True)
  cuts = frame["time"].quantile(0.7), frame["time"].quantile(0.85)
  side = (pl.col("time") >= cuts[0]).cast(pl.Int8) + (pl.col("time") >= cuts[1])
  parts = {
      name: frame.filter(side == place) for place, name in enumerate(SPLITS)
  }
  for name, part in parts.items():
    with whole_file(folder / f"{name}.parquet") as temporary:
      part.write_parquet(temporary)
  return {name: part.height for name, part in parts.items()}


def _rows(config: RequestConfig) -> Iterator[dict[str, Any]]:
  rng = np.random.default_rng(config.seed)
  tag_of = rng.integers(0, len(_TAGS), config.num_items)
  second = rng.integers(0, len(_TAGS), config.num_items)
  prices = np.round(rng.lognormal(3, 1, config.num_items), 2)
  taste = rng.normal(0, 1.5, (config.num_users, len(_TAGS)))
  mood = np.full(config.num_users, -1)
  for number in range(config.requests):
    for user in range(config.num_users):
      time = _START + number * 9 * _HOUR + int(rng.integers(0, 8 * _HOUR))
      shown = rng.choice(config.num_items, config.candidates, replace=False)
      device = ("phone", "desk", None)[user % 3]
      clicked = -1
      for item in shown:
        tag = tag_of[item]
        logit = taste[user, tag] + 2.0 * (tag == mood[user]) - 1.0
        logit -= 0.01 * prices[item]
        click = int(rng.random() < 1 / (1 + np.exp(-logit)))
        hide = int(not click and rng.random() < 1 / (1 + np.exp(2 + logit)))
        if click:
          clicked = int(tag)
        tags = {_TAGS[tag], _TAGS[second[item]]}
        yield {
            "user": f"u{user}",
            "time": time,
            "item": f"i{item}",
            "tags": "|".join(sorted(tags)),
            "price": None if item % 7 == 0 else float(prices[item]),
            "device": device,
            "click": click,
            "hide": hide,
        }
      if clicked >= 0:
        mood[user] = clicked

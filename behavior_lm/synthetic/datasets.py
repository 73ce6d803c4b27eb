"""Small prepared datasets of generated logs, for runs without a dataset."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.common.files import whole_file
from behavior_lm.common.files import write_whole
from behavior_lm.common.progress import CommandProgress
from behavior_lm.logs import ingest
from behavior_lm.logs.dataset import is_dataset
from behavior_lm.synthetic.generate import generate
from behavior_lm.synthetic.generate import SyntheticConfig
from behavior_lm.synthetic.shop import shop_rows
from behavior_lm.synthetic.visits import visit_log


def make_dataset(kind: str, folder: Path, **sizes: int) -> Path:
  """A prepared dataset, made once.

  Args:
    kind: "game", days of players with later days to test on; "visits", the
      same with rules that a small model finds; "shop", users with others held
      out; "orders", the same users with their last items held out.
    folder: the dataset's; one that is there is taken as it is. The log lies
      beside it.
    **sizes: of the generator.

  Returns:
    The folder.

  Raises:
    UserError: if the kind is unknown.
  """
  if kind not in _KINDS:
    raise UserError(
        f"config.data.synthetic is {kind!r}; known are {', '.join(_KINDS)}."
    )
  if is_dataset(folder):
    return folder
  folder.parent.mkdir(parents=True, exist_ok=True)
  options = _KINDS[kind](folder, sizes)
  ingest.prepare(
      ingest.Options(out=str(folder), **options), CommandProgress()
  )
  return folder


def _shop(folder: Path, sizes: dict[str, int]) -> dict[str, Any]:
  log = folder.with_name(folder.name + "_log.csv")
  write_whole(log, "\n".join(shop_rows(**sizes)) + "\n")
  return dict(logs=str(log), log_format="taobao", unit="user")


def _held_out(folder: Path, sizes: dict[str, int]) -> dict[str, Any]:
  split = dict(user_fraction=0.25, valid_fraction=0.15)
  return _shop(folder, sizes) | split


def _orders(folder: Path, sizes: dict[str, int]) -> dict[str, Any]:
  return _shop(folder, sizes) | dict(leave_one_out=True)


def _game(folder: Path, sizes: dict[str, int]) -> dict[str, Any]:
  values: dict[str, Any] = dict(num_users=60, num_days=3) | sizes
  made = generate(SyntheticConfig(mean_events_per_day=60.0, **values))
  return _last_day_apart(folder, made.events)


def _visits(folder: Path, sizes: dict[str, int]) -> dict[str, Any]:
  return _last_day_apart(folder, visit_log(**sizes))


def _last_day_apart(folder: Path, events: pl.DataFrame) -> dict[str, Any]:
  log = folder.with_name(folder.name + "_log.parquet")
  with whole_file(log) as temporary:
    events.write_parquet(temporary)
  last_day = events["timestamp"].dt.date().max()
  return dict(logs=str(log), split_time=str(last_day))


_KINDS: dict[str, Callable[[Path, dict[str, int]], dict[str, Any]]] = {
    "game": _game,
    "shop": _held_out,
    "orders": _orders,
    "visits": _visits,
}

"""Taobao's log as tables of requests: one is an hour of a user."""

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

from behavior_lm.common.files import whole_file
from behavior_lm.common.progress import CommandProgress
from behavior_lm.data.features.user_hours import dataset_actions
from behavior_lm.data.features.user_hours import user_hours
from behavior_lm.logs import ingest
from behavior_lm.logs.dataset import open_dataset
from behavior_lm.logs.stages.options import Options

# Event id -> head.
HEADS = {"pv": "click", "fav": "favourite", "cart": "cart", "buy": "buy"}
# Candidates of a request that are drawn.
DRAWN = 10
# The first days of validation and test, of China.
DAYS = ("2017-12-02", "2017-12-03")
_CHINA = ZoneInfo("Asia/Shanghai")


def make_tables(logs: str, work: Path) -> tuple[Path, Path]:
  """Prepares Taobao's log, and makes a request of each user's hour.

  Nothing is done where the tables are there already.

  Args:
    logs: a file or folder of the published format.
    work: folder that gets data/ and tables/.

  Returns:
    The folder of the tables, and the dataset.
  """
  data, tables = work / "data", work / "tables"
  if not data.is_dir():
    progress = CommandProgress()
    try:
      ingest.prepare(
          Options(
              logs=logs, out=str(data), unit="user", log_format="taobao",
              valid_time=DAYS[0], split_time=DAYS[1],
          ),
          progress,
      )
    finally:
      progress.close()
  cuts = [
      int(datetime.fromisoformat(day).replace(tzinfo=_CHINA).timestamp() * 1e6)
      for day in DAYS
  ]
  names = [tables / f"{split}.parquet" for split in ("train", "valid", "test")]
  if all(name.exists() for name in names):
    return tables, data
  rows = user_hours(
      dataset_actions(open_dataset(data)), HEADS, drawn=DRAWN
  ).with_columns(pl.col("time").cast(pl.Datetime("us", "UTC")))
  stamp = pl.col("time").to_physical()
  side = sum((stamp >= cut).cast(pl.Int8) for cut in cuts)
  tables.mkdir(parents=True, exist_ok=True)
  for number, name in enumerate(names):
    with whole_file(name) as temporary:
      rows.filter(side == number).write_parquet(temporary)
  return tables, data

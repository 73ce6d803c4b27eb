"""Generated requests are reproducible, cut by time, and learnable."""

import numpy as np
import polars as pl

from behavior_lm.synthetic.requests import RequestConfig
from behavior_lm.synthetic.requests import write_requests

SMALL = RequestConfig(num_users=20, num_items=30, requests=10, candidates=3)


def test_splits_are_cut_by_time_and_hold_all_rows(tmp_path):
  sizes = write_requests(tmp_path, SMALL)
  parts = [pl.read_parquet(tmp_path / f"{name}.parquet") for name in sizes]
  assert sum(sizes.values()) == 20 * 10 * 3
  assert [part.height for part in parts] == list(sizes.values())
  for earlier, later in zip(parts, parts[1:], strict=False):
    assert earlier["time"].max() < later["time"].min()
  assert not any((part["click"] * part["hide"]).sum() for part in parts)


def test_one_seed_is_one_shop(tmp_path):
  read = lambda name: pl.read_parquet(tmp_path / name / "train.parquet")
  for name, seed in (("a", 0), ("b", 0), ("c", 1)):
    write_requests(
        tmp_path / name, RequestConfig(num_users=5, requests=4, seed=seed)
    )
  assert read("a").equals(read("b")) and not read("a").equals(read("c"))


def test_the_last_click_says_something_about_the_next(tmp_path):
  write_requests(tmp_path, RequestConfig(num_users=80, requests=20))
  rows = pl.concat(
      pl.read_parquet(tmp_path / f"{name}.parquet")
      for name in ("train", "valid", "test")
  ).sort("user", "time")
  # Tags by their first one: shared with the last clicked item, or not.
  first = pl.col("tags").str.split("|").list.first()
  rows = rows.with_columns(first.alias("tag"))
  clicked = rows.filter(pl.col("click") == 1).select("user", "time", "tag")
  before = rows.sort("time").join_asof(
      clicked.sort("time").rename({"tag": "last"}),
      on="time",
      by="user",
      allow_exact_matches=False,
      check_sortedness=False,
  )
  known = before.drop_nulls("last")
  same = (known["tag"] == known["last"]).to_numpy()
  clicks = known["click"].to_numpy()
  assert np.mean(clicks[same]) > np.mean(clicks[~same]) + 0.05

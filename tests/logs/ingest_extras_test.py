"""Extra columns from a log to a dataset: categories, numbers, the report."""

import json

import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.logs import schema
from behavior_lm.logs.schema import Extra
from tests.logs.support import log_files

_PRICES = [2**53, 2**53 - 1, 2**24 + 1, -(2**31) - 1, 5]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
  """Ten events to train on and ten later ones, read as text."""
  folder = tmp_path_factory.mktemp("log")
  rows = [
      f"u{n % 2},e,{1_700_000_000 + 60 * n},"
      f"{_PRICES[n % 5] if n != 9 else ''},{['x', 'y', 'x', '', 'z'][n % 5]}"
      for n in range(19)
  ]
  rows.append("u1,e,1700001140,5,new")
  log_files.write_csv(
      folder / "log.csv", rows, "user_id,event_id,timestamp,cost,shop"
  )
  return log_files.prepared(
      folder / "log.csv",
      folder / "out",
      extras=("price", "shop:cat"),
      columns={"price": "cost"},
      split_time="2023-11-14 22:23:20",
      unit="user",
  )


def values_of(dataset, split, name):
  source = dataset.source(split)
  examples = [source[index] for index in range(len(source))]
  times = np.concatenate([example["timestamp"] for example in examples])
  values = np.concatenate([example[name] for example in examples])
  return values[np.argsort(times)]


def test_whole_numbers_keep_all_their_digits(dataset):
  prices = values_of(dataset, "test", "price")
  assert prices.dtype == np.float64
  assert [int(price) for price in prices] == _PRICES * 2


def test_numbers_are_described_by_the_events_of_train(dataset):
  assert list(dataset.extras) == ["price", "shop"]
  train = values_of(dataset, "train", "price")
  assert np.isnan(train[-1])
  price = dataset.extras["price"]
  assert price.kind == schema.NUMERIC
  assert price.mean == pytest.approx(np.nanmean(train))
  assert price.std == pytest.approx(np.nanstd(train))
  found = dataset.meta["extras"]["price"]
  assert (found["count"], found["missing"]) == (9, 1)
  assert (found["min"], found["max"]) == (min(_PRICES), max(_PRICES))


def test_categories_are_codes_and_come_back(dataset):
  codes = values_of(dataset, "train", "shop")
  assert codes.dtype == np.int32
  assert codes.tolist() == [1, 2, 1, -1, 3] * 2
  assert values_of(dataset, "test", "shop").tolist()[-2:] == [-1, 0]
  assert dataset.extras["shop"] == Extra(schema.CATEGORICAL, categories=4)
  table = dataset.categories("shop")
  assert table["value"].to_list() == [None, "x", "y", "z"]
  with pytest.raises(UserError, match="no categorical column 'price'; it has"):
    dataset.categories("price")


def test_the_report_shows_what_a_split_lacks(dataset):
  report = json.loads((dataset.path / "report.json").read_text())
  assert report["extras"]["shop"]["splits"] == {
      "train": {"missing": 2, "unknown_share": 0.0},
      "test": {"missing": 2, "unknown_share": 1 / 8},
  }
  page = (dataset.path / "report.md").read_text()
  [line] = [line for line in page.splitlines() if line.startswith("| `shop`")]
  assert "12.500%" in line


def test_a_column_without_a_value_can_still_be_normalised(tmp_path):
  rows = [f"u,e,{1_700_000_000 + n},,7" for n in range(4)]
  log_files.write_csv(
      tmp_path / "log.csv", rows, "user_id,event_id,timestamp,price,level"
  )
  dataset = log_files.prepared(
      tmp_path / "log.csv", tmp_path / "out", extras=("price", "level")
  )
  assert dataset.meta["extras"]["price"]["mean"] is None
  assert dataset.extras == {
      "price": Extra(schema.NUMERIC, mean=0.0, std=1.0),
      "level": Extra(schema.NUMERIC, mean=7.0, std=1.0),
  }


@pytest.mark.slow
def test_numbers_and_texts_of_parquet_are_the_same_categories(tmp_path):
  shops = [7, 8, None, 7, 7, 8]
  frame = log_files.event_frame([("u", "e", None, n) for n in range(6)])
  found = []
  for kind in (pl.Int64, pl.Float64, pl.String, pl.Categorical):
    values = pl.Series(shops, dtype=pl.Int64)
    if kind == pl.Categorical:
      values = values.cast(pl.String)
    path = tmp_path / f"{kind}.parquet"
    frame.with_columns(shop=values.cast(kind)).write_parquet(path)
    dataset = log_files.prepared(
        path, tmp_path / f"out{kind}", extras=("shop:cat",)
    )
    found.append(dataset.meta["examples_hash"])
    assert values_of(dataset, "train", "shop").tolist() == [1, 2, -1, 1, 1, 2]
  assert len(set(found)) == 1


@pytest.mark.slow
@pytest.mark.realdata
def test_a_real_log_of_taobao_has_categories(tmp_path, data_root):
  dataset = log_files.prepared(
      data_root / "public" / "taobao" / "UserBehavior_head84475.csv",
      tmp_path / "out",
      log_format="taobao",
      split_time="2017-12-02",
      valid_time="2017-12-01",
  )
  assert dataset.splits == ["train", "valid", "test"]
  found = dataset.extras["category"]
  assert found.kind == schema.CATEGORICAL
  table = dataset.categories("category")
  assert table.height == found.categories > 1_000
  train = values_of(dataset, "train", "category")
  counts = np.bincount(train, minlength=found.categories)
  assert counts.tolist() == table["train_count"].to_list()
  assert (np.diff(counts[1:]) <= 0).all() and counts[0] == 0
  test = values_of(dataset, "test", "category")
  assert 0 < (test == 0).mean() < 0.1 and test.min() == 0


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_columns_that_are_not_kept_are_named(tmp_path, ending):
  frame = pl.DataFrame({
      "user_id": ["a", "b"], "event_id": ["e", "e"],
      "timestamp": [1_700_000_000, 1_700_000_060],
      "rating": [5, 1], "price": [2.5, 3.5],
  })  # fmt: skip
  path = tmp_path / f"log.{ending}"
  {
      "csv": frame.write_csv,
      "jsonl": frame.write_ndjson,
      "parquet": frame.write_parquet,
  }[ending](path)
  made = log_files.prepared(path, tmp_path / "out", extras=("price",))
  report = json.loads((made.path / "report.json").read_text())
  assert report["unkept"] == ["rating"]
  assert report["warnings"] == []
  assert "rating" in (made.path / "report.md").read_text()

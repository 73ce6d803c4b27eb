"""Which code a category gets, decided by the events of train alone."""

import collections

from hypothesis import given
from hypothesis import strategies as st
import polars as pl
import pytest

from tests.logs.support import log_files

_HOUR = 3_600
_SHOPS = st.sampled_from(["", "a", "b", "c", "10", "9", "é", " x"])
_EVENTS = st.lists(st.tuples(st.integers(0, 3), _SHOPS), max_size=40)


def prepared(folder, events, **options):
  """Events are (user, shop), an hour apart; the 20th and later are test."""
  rows = [
      (f"u{user}", "e", str(n), n * _HOUR) for n, (user, _) in enumerate(events)
  ]
  log_files.event_frame(rows).with_columns(
      shop=pl.Series([shop for _, shop in events], dtype=pl.String)
  ).write_parquet(folder / "log.parquet")
  return log_files.prepared(
      folder / "log.parquet",
      folder / f"out{len(list(folder.iterdir()))}",
      extras=("shop:cat",),
      **options,
  )


def shops_of(dataset, split):
  """{number of the event: (code, value of the code)}."""
  values = dataset.categories("shop")["value"].to_list()
  found, source = {}, dataset.source(split)
  for index in range(len(source)):
    example = source[index]
    designs = dataset.pairs["design_id"].gather(example["pair"])
    for design, code in zip(designs, example["shop"].tolist(), strict=True):
      found[int(design)] = code, None if code < 1 else values[code]
  return found


@pytest.mark.slow
@given(_EVENTS, st.integers(1, 5), st.sampled_from(["time", "user", "last"]))
def test_codes_are_the_ranks_of_the_values_in_train(
    tmp_path_factory, events, cap, kind
):
  events = [(user, "a") for user in range(4)] * 5 + events + [(0, "b")]
  options = {
      "time": {"split_time": "2024-03-04 20:00:00"},
      "user": {"user_fraction": 0.4, "seed": 1},
      "last": {"leave_one_out": True},
  }[kind]
  dataset = prepared(
      tmp_path_factory.mktemp("log"), events, category_cap=cap, **options
  )
  train = shops_of(dataset, "train")
  counts = collections.Counter(events[n][1] for n in train)
  known = [value for value in counts if value.strip()]
  ranked = sorted(known, key=lambda value: (-counts[value], value))[:cap]
  unknown = sum(counts[value] for value in known if value not in ranked)
  assert dataset.categories("shop").rows() == [
      (0, None, unknown),
      *((code, value, counts[value]) for code, value in enumerate(ranked, 1)),
  ]
  assert dataset.extras["shop"].categories == 1 + len(ranked)
  for split in dataset.splits:
    for n, (code, value) in shops_of(dataset, split).items():
      shop = events[n][1]
      if shop in ranked:
        assert value == shop
      else:
        assert code == (0 if shop.strip() else -1)


def test_a_category_that_only_test_has_is_unknown(tmp_path):
  events = [(n % 3, "ab"[n % 2]) for n in range(30)] + [(0, "late")] * 9
  dataset = prepared(tmp_path, events, split_time="2024-03-05 06:00:00")
  assert dataset.categories("shop").rows() == [
      (0, None, 0), (1, "a", 15), (2, "b", 15),
  ]  # fmt: skip
  assert {shops_of(dataset, "test")[n] for n in range(30, 39)} == {(0, None)}
  found = dataset.meta["extras"]["shop"]
  assert found == {
      "kind": "categorical", "categories": 3, "missing": 0, "unknown_share": 0,
  }  # fmt: skip


@pytest.mark.parametrize("late", [["late"] * 9, ["b", "", "a"], ["0", "zz"]])
def test_test_rows_change_neither_codes_nor_vocabulary(tmp_path, late):
  early = [(n % 3, "ab"[n % 2]) for n in range(30)]
  split = {"split_time": "2024-03-05 06:00:00"}
  want = prepared(tmp_path, [*early, (0, "b")], **split)
  got = prepared(tmp_path, [*early, *((0, shop) for shop in late)], **split)
  assert got.categories("shop").equals(want.categories("shop"))
  assert shops_of(got, "train") == shops_of(want, "train")
  assert got.meta["extras"] == want.meta["extras"]


@pytest.mark.slow
def test_neither_the_order_of_files_nor_the_workers_change_the_codes(tmp_path):
  rows = [(f"u{n % 5}", f"e{n % 3}", None, n * _HOUR) for n in range(60)]
  shops = [f"s{n * n % 11}" for n in range(60)]
  frame = log_files.event_frame(rows).with_columns(shop=pl.Series(shops))
  parts = [frame[begin : begin + 20] for begin in (0, 20, 40)]
  found = []
  for place, order in enumerate(("abc", "cab", "bca")):
    folder = tmp_path / str(place)
    folder.mkdir()
    for name, part in zip(order, parts, strict=True):
      part.write_parquet(folder / f"{name}.parquet")
    dataset = log_files.prepared(
        folder,
        tmp_path / f"out{place}",
        extras=("shop:cat",),
        split_time="2024-03-05 06:00:00",
        workers=2 if order == "bca" else 1,
    )
    hashes = dataset.meta["examples_hash"]
    found.append((hashes, dataset.categories("shop").rows()))
  assert found[0] == found[1] == found[2]

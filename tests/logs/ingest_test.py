"""From a log to a dataset folder and back: nothing lost, nothing moved."""

import json

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import polars as pl
from polars.testing import assert_frame_equal
import pytest

from behavior_lm.common.files import sha256
from tests.logs.support import log_files

_DAY = 86_400

_ids = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]),
    min_size=1,
    max_size=4,
).filter(lambda text: text.strip())
_rows = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob", "eve", "Δ", "a,b", 'q"']),
        _ids,
        st.one_of(st.none(), _ids),
        # Few distinct times, so that ties and day borders are common.
        st.integers(0, 40).map(lambda n: n * 7_200.0),
    ),
    min_size=1,
    max_size=60,
)


def sorted_by_hand(rows):
  """What the dataset must hold, by plain Python; ties in the log's order."""
  return sorted(rows, key=lambda row: (row[0], row[3]))


def as_rows(events: pl.DataFrame):
  """Events of a dataset as tuples, users in the order of their names."""
  return [
      (user, event, design, (time - log_files.START).total_seconds())
      for user, event, design, time in events.sort(
          "user_id", maintain_order=True
      )
      .select("user_id", "event_id", "design_id", "timestamp")
      .iter_rows()
  ]


def without_none(rows):
  return [(u, e, "0" if d is None else d, t) for u, e, d, t in rows]


@pytest.mark.slow
@given(_rows, st.sampled_from(["user", "user_day"]))
def test_every_event_is_in_exactly_one_sequence_in_the_right_order(
    tmp_path_factory, rows, unit
):
  folder = tmp_path_factory.mktemp("log")
  log_files.event_frame(rows).write_parquet(folder / "log.parquet")
  dataset = log_files.prepared(
      folder / "log.parquet", folder / "out", unit=unit
  )
  events = log_files.events_of(dataset)
  assert as_rows(events) == sorted_by_hand(without_none(rows))


@pytest.mark.slow
@given(_rows)
def test_a_user_day_is_one_day_of_one_user_and_the_whole_of_it(
    tmp_path_factory, rows
):
  folder = tmp_path_factory.mktemp("log")
  log_files.event_frame(rows).write_parquet(folder / "log.parquet")
  dataset = log_files.prepared(folder / "log.parquet", folder / "out")
  events = log_files.events_of(dataset).with_columns(
      pl.col("timestamp").dt.date().alias("day")
  )
  groups = events.select("user_id", "day", "index").unique()
  assert groups.height == groups["index"].n_unique()
  assert groups.height == groups.select("user_id", "day").n_unique()


@pytest.mark.slow
def test_csv_tsv_jsonl_and_parquet_give_the_same_dataset(tmp_path):
  rng = np.random.default_rng(0)
  frame = log_files.event_frame([
      (f"u{rng.integers(5)}", f"é{rng.integers(9)}", 'a"b,c', int(n))
      for n in rng.integers(0, 5 * _DAY, 500)
  ])
  text = frame.with_columns(
      pl.col("timestamp").dt.to_string("%Y-%m-%dT%H:%M:%S%.f+00:00")
  )
  frame.write_parquet(tmp_path / "a.parquet")
  text.write_csv(tmp_path / "a.csv")
  text.write_csv(tmp_path / "a.tsv", separator="\t")
  text.write_ndjson(tmp_path / "a.jsonl")
  found = {
      path.suffix: log_files.prepared(
          path, tmp_path / f"out{path.suffix}", split_time="2024-03-06"
      )
      for path in tmp_path.glob("a.*")
  }
  assert len(found) == 4
  assert len({dataset.meta["fingerprint"] for dataset in found.values()}) == 1


def test_ties_keep_the_order_of_files_and_rows(tmp_path):
  for name, event in (("b", "third"), ("a", "first"), ("a2", "second")):
    log_files.write_csv(
        tmp_path / f"{name}.csv",
        [log_files.row(event=event), log_files.row(event=event + "!")],
    )
  dataset = log_files.prepared(tmp_path, tmp_path / "out")
  assert log_files.events_of(dataset)["event_id"].to_list() == [
      "first", "first!", "second", "second!", "third", "third!",
  ]


def test_codes_are_the_sorted_pairs_and_counts_are_of_train_alone(tmp_path):
  rows = [("u", f"e{n % 4}", None, n * _DAY / 2) for n in range(10)]
  rows += [("u", "only late", "x", 4.9 * _DAY)]
  log_files.event_frame(rows).write_parquet(tmp_path / "log.parquet")
  dataset = log_files.prepared(
      tmp_path / "log.parquet", tmp_path / "out", split_time="2024-03-07"
  )
  pairs = dataset.pairs
  assert_frame_equal(pairs, pairs.sort("event_id", "design_id"))
  train = log_files.events_of(dataset, "train")
  counts = pairs.join(
      train.group_by("event_id", "design_id").len("seen"),
      on=["event_id", "design_id"],
      how="left",
      maintain_order="left",
  )
  assert pairs["train_count"].to_list() == counts["seen"].fill_null(0).to_list()
  late = pairs.filter(pl.col("event_id") == "only late")
  assert late["train_count"].to_list() == [0]
  assert "only late" not in train["event_id"].to_list()


def test_later_days_change_nothing_in_train_but_the_codes(tmp_path):
  early = [("u", f"e{n}", None, 60.0 * n) for n in range(9)]
  late = [("u", f"a{n}", None, 3.0 * _DAY + n) for n in range(9)]
  found = []
  for number, rows in enumerate((early + late[:1], early + late)):
    path = tmp_path / f"{number}.parquet"
    log_files.event_frame(rows).write_parquet(path)
    dataset = log_files.prepared(
        path, tmp_path / f"out{number}", split_time="2024-03-06"
    )
    known = dataset.pairs.filter(pl.col("train_count") > 0)
    found.append((known, log_files.events_of(dataset, "train")))
  assert_frame_equal(found[0][0], found[1][0])
  assert_frame_equal(found[0][1], found[1][1])


@pytest.mark.slow
def test_one_giant_user_is_one_sequence(tmp_path):
  count = 300_000
  seconds = np.arange(count)[::-1]
  pl.DataFrame({
      "user_id": ["giant"] * count,
      "event_id": (seconds % 50).astype(str),
      "timestamp": pl.Series(1_709_500_000 + seconds),
  }).write_parquet(tmp_path / "log.parquet")
  dataset = log_files.prepared(
      tmp_path / "log.parquet", tmp_path / "out", unit="user"
  )
  [table] = [dataset.sequences("train")]
  assert table["num_events"].to_list() == [count]
  example = dataset.source("train")[0]
  np.testing.assert_array_equal(
      example["timestamp"], (1_709_500_000 + np.arange(count)) * 1_000_000
  )


def test_duplicates_are_counted_and_kept_unless_asked(tmp_path):
  rows = [
      ("u", "a", "x", 1), ("u", "b", "x", 1), ("u", "a", "x", 1),
      ("u", "a", "x", 2), ("v", "a", "x", 1), ("u", "a", "x", 1),
  ]  # fmt: skip
  log_files.event_frame(rows).write_parquet(tmp_path / "log.parquet")
  kept = log_files.prepare(tmp_path / "log.parquet", tmp_path / "kept")
  assert kept["duplicates"] == {"rows": 2, "dropped": 0}
  assert kept["num_events"] == 6
  dropped = log_files.prepare(
      tmp_path / "log.parquet", tmp_path / "dropped", drop_duplicates=True
  )
  assert dropped["duplicates"] == {"rows": 2, "dropped": 2}
  assert dropped["num_events"] == 4
  events = log_files.events_of(log_files.open_dataset(tmp_path / "dropped"))
  assert as_rows(events) == [
      ("u", "a", "x", 1), ("u", "b", "x", 1), ("u", "a", "x", 2),
      ("v", "a", "x", 1),
  ]  # fmt: skip


def test_days_are_those_of_the_time_zone(tmp_path):
  # 20:00 and 04:00 UTC are one day in Shanghai and two in UTC.
  rows = [("u", "a", None, 20 * 3600), ("u", "b", None, 28 * 3600)]
  log_files.event_frame(rows).write_parquet(tmp_path / "log.parquet")
  utc = log_files.prepared(tmp_path / "log.parquet", tmp_path / "utc")
  assert utc.sequences("train")["num_events"].to_list() == [1, 1]
  shanghai = log_files.prepared(
      tmp_path / "log.parquet", tmp_path / "sh", timezone="Asia/Shanghai"
  )
  assert shanghai.sequences("train")["num_events"].to_list() == [2]
  assert shanghai.meta["timezone"] == "Asia/Shanghai"


@pytest.mark.slow
def test_the_dataset_does_not_depend_on_the_number_of_partitions(
    tmp_path, monkeypatch
):
  rows = [(f"u{n % 23}", f"e{n % 7}", None, 997.0 * n) for n in range(900)]
  log_files.event_frame(rows).write_parquet(tmp_path / "log.parquet")
  one = log_files.prepared(tmp_path / "log.parquet", tmp_path / "one")
  monkeypatch.setattr(
      "behavior_lm.logs.stages.spill.partition_bits", lambda rows: 5
  )
  many = log_files.prepared(tmp_path / "log.parquet", tmp_path / "many")
  assert one.meta["fingerprint"] == many.meta["fingerprint"]
  assert_frame_equal(one.sequences("train"), many.sequences("train"))


def test_shards_follow_each_other_in_the_order_of_the_index(
    tmp_path, monkeypatch
):
  rows = [(f"u{n % 23}", f"e{n % 7}", None, 997.0 * n) for n in range(900)]
  log_files.event_frame(rows).write_parquet(tmp_path / "log.parquet")
  monkeypatch.setattr("behavior_lm.logs.stages.sort_stage.SHARD_EVENTS", 100)
  dataset = log_files.prepared(tmp_path / "log.parquet", tmp_path / "out")
  assert len(list(dataset.path.glob("tfds/**/*array_record*"))) > 3
  table, source = dataset.sequences("train"), dataset.source("train")
  assert len(source) == table.height
  for line in table.iter_rows(named=True):
    example = source[line["index"]]
    assert example["user_id"] == line["user_id"]
    assert len(example["pair"]) == line["num_events"]
    assert example["start"] == example["timestamp"][0]


@pytest.mark.parametrize("bad", range(4))
def test_rows_in_are_events_out_plus_rejected_rows(tmp_path, bad):
  rows = log_files.good_rows(300) + ["u1,e1,d1,never"] * bad
  log_files.write_csv(tmp_path / "log.csv", rows)
  report = log_files.prepare(
      tmp_path / "log.csv", tmp_path / "out", split_time="2024-03-04 02:00:00"
  )
  assert report["rows"] == 300 + bad
  assert report["rejected"]["rows"] == bad
  splits = report["splits"].values()
  assert sum(part["num_events"] for part in splits) == 300
  meta = json.loads((tmp_path / "out" / "dataset.json").read_text())
  assert meta["quarantined_rows"] == bad
  assert meta["sources"][0]["rows"] == 300 + bad


def test_missing_values_of_an_extra_column_are_counted(tmp_path):
  rows = [f"u,e,{1_700_000_000 + n},{'' if n % 4 else n}" for n in range(40)]
  log_files.write_csv(
      tmp_path / "log.csv", rows, "user_id,event_id,timestamp,level"
  )
  dataset = log_files.prepared(
      tmp_path / "log.csv", tmp_path / "out", extras=("level",)
  )
  report = json.loads((tmp_path / "out" / "report.json").read_text())
  assert report["extras"]["level"]["missing"] == 30
  example = dataset.source("train")[0]
  assert np.isnan(example["level"]).sum() == 30
  assert dataset.meta["ordinal"] is False


def test_the_files_read_beside_a_file_are_hashed_too(tmp_path):
  (tmp_path / "shop_item.txt").write_text("1 17 4 9\n")
  times = tmp_path / "shop_time.txt"
  times.write_text("1 1318896000 1318896000 1328140800\n")
  dataset = log_files.prepared(
      tmp_path / "shop_item.txt", tmp_path / "out", log_format="sasrec_time"
  )
  [source] = [s for s in dataset.meta["sources"] if s["rows"]]
  assert source["name"] == "shop_item.txt" and source["rows"] == 3
  assert source["companions"] == {times.name: sha256(times)}

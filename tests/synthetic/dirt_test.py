"""Dirt on synthetic logs: each kind alone, as much as asked, the same twice."""

import dataclasses
import json

import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.common.progress import CommandProgress
from behavior_lm.logs import schema
from behavior_lm.logs.ingest import Options
from behavior_lm.logs.ingest import prepare
from behavior_lm.synthetic.dirt import Dirt
from behavior_lm.synthetic.dirt import soil
from behavior_lm.synthetic.files import write_logs
from behavior_lm.synthetic.generate import generate
from behavior_lm.synthetic.generate import SyntheticConfig

CONFIG = SyntheticConfig(num_users=8, num_days=3, mean_events_per_day=300.0)
ALL = Dirt(0.2, 0.1, 0.5, 3.0)


@pytest.fixture(scope="module")
def events():
  return generate(CONFIG).events


def test_no_dirt_is_the_log_itself(events):
  assert soil(events, Dirt(), 0).equals(events)


def test_lost_designs_are_null_and_nothing_else_changes(events):
  got = soil(events, Dirt(missing_designs=0.3), 0)
  lost = got[schema.DESIGN_ID].is_null()
  assert lost.mean() == pytest.approx(0.3, abs=0.03)
  restored = got.with_columns(
      pl.col(schema.DESIGN_ID).fill_null(events[schema.DESIGN_ID])
  )
  assert restored.equals(events)


def test_doubled_rows_follow_their_first_copy(events):
  numbered = events.with_columns(
      pl.int_range(pl.len()).cast(pl.String).alias(schema.EVENT_ID)
  )
  got = soil(numbered, Dirt(duplicate_rows=0.1), 0)
  assert got.height / events.height == pytest.approx(1.1, abs=0.02)
  assert got.unique(maintain_order=True).equals(numbered)
  assert (got[schema.EVENT_ID].rle().struct.field("len") <= 2).all()


def test_shuffled_ties_keep_each_second_and_lose_its_order(events):
  numbered = events.with_columns(
      pl.int_range(pl.len()).cast(pl.String).alias(schema.EVENT_ID)
  )
  keys = [schema.USER_ID, schema.TIMESTAMP]
  changed = {}
  for share in (0.4, 1.0):
    got = soil(numbered, Dirt(shuffled_ties=share), 0)
    assert got.select(keys).equals(numbered.select(keys))
    assert got.sort(pl.col(schema.EVENT_ID).cast(int)).equals(numbered)
    ties = pl.DataFrame({
        **{name: numbered[name] for name in keys},
        "moved": got[schema.EVENT_ID] != numbered[schema.EVENT_ID],
    })
    ties = ties.group_by(keys).agg(pl.len(), pl.col("moved").any())
    changed[share] = ties.filter(pl.col("len") >= 4)["moved"].mean()
  # Of four events or more, at most one order in 24 is the old one.
  assert changed[1.0] > 0.9
  assert changed[0.4] == pytest.approx(0.4 * changed[1.0], abs=0.06)


def test_clocks_err_by_at_most_the_asked_seconds(events):
  numbered = events.with_columns(
      pl.int_range(pl.len()).cast(pl.String).alias(schema.EVENT_ID)
  )
  got = soil(numbered, Dirt(clock_jitter=4.0), 0)
  assert got.sort(
      schema.USER_ID, schema.TIMESTAMP, maintain_order=True
  ).equals(got)
  back = got.sort(pl.col(schema.EVENT_ID).cast(int))
  assert back.drop(schema.TIMESTAMP).equals(numbered.drop(schema.TIMESTAMP))
  error = (back[schema.TIMESTAMP] - events[schema.TIMESTAMP]).dt.total_seconds()
  assert error.min() == -4
  assert error.max() == 4
  assert abs(error.mean()) < 0.3
  assert not got.equals(numbered)


def test_the_same_seed_soils_alike_user_by_user(events):
  whole = soil(events, ALL, 5)
  assert whole.equals(soil(events, ALL, 5))
  assert not whole.equals(soil(events, ALL, 6))
  parts = [
      soil(part, ALL, 5)
      for part in events.partition_by(schema.USER_ID, maintain_order=True)
  ]
  assert pl.concat(parts).equals(whole)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_prepare_reads_a_soiled_log(tmp_path, suffix):
  path = tmp_path / f"log{suffix}"
  written = write_logs(
      CONFIG, path, truth=tmp_path / "truth.json", bad_rows=7, dirt=ALL,
      users_per_batch=3,
  )  # fmt: skip
  want = soil(generate(CONFIG).events, ALL, CONFIG.seed)
  assert written.rows == want.height
  report = prepare(
      Options(
          logs=str(path), out=str(tmp_path / "dataset"), max_bad_fraction=0.5
      ),
      CommandProgress(),
  )
  assert report["rows"] == written.rows + 7
  pairs = pl.read_parquet(tmp_path / "dataset" / "pairs.parquet")
  none = pairs.filter(pl.col(schema.DESIGN_ID) == schema.NO_DESIGN)
  lost = want[schema.DESIGN_ID].fill_null(schema.NO_DESIGN)
  assert none["train_count"].sum() == (lost == schema.NO_DESIGN).sum()
  truth = json.loads((tmp_path / "truth.json").read_text())
  assert truth["dirt"] == dataclasses.asdict(ALL)


@pytest.mark.parametrize(
    "wrong, says",
    [
        ({"missing_designs": -0.1}, "missing_designs is -0.1; give a share"),
        ({"duplicate_rows": 1.5}, "duplicate_rows is 1.5; give a share"),
        ({"shuffled_ties": 2}, "shuffled_ties is 2; give a share from 0 to 1"),
        ({"clock_jitter": -1.0}, "clock_jitter is -1.0; give 0 to 86400"),
    ],
)
def test_a_wrong_setting_is_named(wrong, says):
  with pytest.raises(UserError, match=says):
    Dirt(**wrong)


def test_a_soiled_log_of_no_events_is_empty():
  empty = generate(CONFIG).events.clear()
  assert soil(empty, ALL, 0).equals(empty)
  assert np.array_equal(empty.columns, list(schema.EVENT_COLUMNS))

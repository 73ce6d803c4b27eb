import dataclasses
import os

import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import Interrupted
from behavior_lm.common.errors import UserError
from behavior_lm.logs.readers import sources
from behavior_lm.logs.stages import plan as plans
from behavior_lm.logs.stages.options import Options
from tests.logs.support import log_files


@pytest.fixture
def log(tmp_path):
  folder = tmp_path / "log"
  folder.mkdir()
  for name in "ab":
    pl.DataFrame({
        "user_id": ["u"] * 1_000,
        "event_id": ["e"] * 1_000,
        "timestamp": 1_709_500_000 + np.arange(1_000),
    }).write_parquet(folder / f"{name}.parquet", row_group_size=100)
  return folder


def options(log, **changes):
  values = dict(logs=str(log), out=str(log.parent / "out")) | changes
  return Options(**values).complete()


def files(chosen):
  return sources.find_sources(chosen.logs, chosen.log_format).files


def saved(log, monkeypatch, **changes):
  monkeypatch.setattr(plans, "SLICE_ROWS", 250)
  chosen = options(log, **changes)
  plan = plans.make(chosen, files(chosen), log.parent)
  plans.save(plan)
  return plan


def resume(log, **changes):
  chosen = options(log, **changes)
  return plans.resume(chosen, files(chosen), log.parent)


def test_large_files_are_read_in_parts(log, monkeypatch):
  plan = saved(log, monkeypatch)
  groups = [(0, 3), (3, 6), (6, 9), (9, 10)]
  assert [(part.name, part.groups) for part in plan.slices] == [
      (f"{name}.parquet", group) for name in "ab" for group in groups
  ]
  assert plan.noted["a.parquet"]["units"] == {"a.parquet": "s"}


def test_a_plan_is_the_same_when_it_is_taken_up_again(log, monkeypatch):
  plan = saved(log, monkeypatch, columns={"design_id": "event_id"})
  monkeypatch.setattr(plans, "SLICE_ROWS", 10**9)
  assert resume(log, columns={"design_id": "event_id"}) == plan
  later = {"workers": 3, "overwrite": True, "max_bad_fraction": 0.5}
  again = resume(log, columns={"design_id": "event_id"}, **later)
  assert dataclasses.replace(again, options=plan.options) == plan


def test_without_a_plan_there_is_nothing_to_take_up(log):
  assert resume(log) is None
  (log.parent / plans.PLAN_FILE).write_text('{"settings": ')
  assert resume(log) is None


@pytest.mark.parametrize(
    ("flag", "value", "words"),
    [
        ("unit", "user", "--unit user_day, not user"),
        ("split_time", "2024-03-04", "--split_time None, not 2024-03-04"),
        ("seed", 7, "--seed 0, not 7"),
        ("user_fraction", 0.1, "--user_fraction 0.0, not 0.1"),
        ("columns", {"event_id": "x"}, "--columns (none), not event_id=x"),
        ("extras", ("level",), "--extras (none), not level"),
        ("timezone", "UTC", "--timezone None, not UTC"),
        ("time_unit", "s", "--time_unit auto, not s"),
        ("log_format", "parquet", "--format auto, not parquet"),
        ("encoding", "gbk", "--encoding utf-8, not gbk"),
        ("drop_duplicates", True, "--drop_duplicates False, not True"),
    ],
)
def test_another_setting_is_named(log, monkeypatch, flag, value, words):
  saved(log, monkeypatch)
  with pytest.raises(Interrupted) as caught:
    resume(log, **{flag: value})
  assert str(caught.value) == (
      f"--out {log.parent / 'out'}: an unfinished run is there, and it was"
      f" started with {words}. Repeat the first command to continue it, or"
      " pass --restart to discard it."
  )


def change(log, how):
  if how == "new":
    (log / "c.parquet").write_bytes((log / "a.parquet").read_bytes())
  elif how == "gone":
    (log / "b.parquet").unlink()
  elif how == "longer":
    with (log / "b.parquet").open("ab") as file:
      file.write(b"x")
  else:
    os.utime(log / "b.parquet", (1, 1))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("new", "the log has a file that it did not have then: c.parquet"),
        ("gone", "the log no longer has the file b.parquet"),
        ("longer", "b.parquet has changed since"),
        ("touched", "b.parquet has changed since"),
    ],
)
def test_a_changed_log_is_named(log, monkeypatch, how, words):
  plan = saved(log, monkeypatch)
  change(log, how)
  with pytest.raises(Interrupted, match=f"is there, and {words}. Repeat the"):
    resume(log)
  if how not in ("new", "gone"):
    with pytest.raises(UserError, match="b.parquet: has changed while it was"):
      plans.check_unchanged(plan, plan.sources[1])
  plans.check_unchanged(plan, plan.sources[0])


def test_parts_of_a_file_read_times_the_same_way(tmp_path, monkeypatch):
  """Later parts alone would be taken for milliseconds and microseconds."""
  monkeypatch.setattr(plans, "SLICE_ROWS", 100)
  times = np.repeat([10**9, 10**12, 10**15], 100)
  rows = pl.DataFrame({"user_id": "u", "event_id": "e", "timestamp": times})
  rows.write_parquet(tmp_path / "log.parquet", row_group_size=100)
  report = log_files.prepare(
      tmp_path / "log.parquet", tmp_path / "out", max_bad_fraction=1.0
  )
  assert report["times"]["read_as"] == ["epoch numbers in s (by their size)"]
  assert report["rejected"]["by_reason"] == {
      "time more than 2 days in the future": 200
  }

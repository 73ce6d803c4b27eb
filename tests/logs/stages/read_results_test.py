import dataclasses
import os
import pathlib

import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.logs.readers import sources
from behavior_lm.logs.stages import plan as plans
from behavior_lm.logs.stages import read_results
from behavior_lm.logs.stages import read_stage
from behavior_lm.logs.stages.options import Options
from tests.logs.support import log_files


def read(folder, files, **options):
  """The plan and the results of reading some CSV files."""
  logs = folder / "log"
  logs.mkdir()
  for name, rows in files.items():
    log_files.write_csv(logs / name, rows)
  chosen = Options(logs=str(logs), out=str(folder / "out"), **options)
  chosen = chosen.complete()
  plan = plans.make(chosen, sources.find_sources(chosen.logs).files, folder)
  plan.work.mkdir()
  plans.save(plan)
  return plan, [
      read_stage.run(plan, number, lambda rows, file: None)
      for number in range(len(plan.slices))
  ]


def test_what_tasks_found_is_joined_in_the_order_of_the_log(tmp_path):
  good, bad = log_files.good_rows(5), ["u,e,d,never"]
  plan, reads = read(tmp_path, {"a.csv": good, "b.csv": bad + good + bad})
  assert read_results.total_rows(reads) == 12
  joined = read_results.rejected(plan, reads, tmp_path / "rejected")
  assert joined.counts == {"unreadable time": 2}
  assert joined.first["unreadable time"].row == 2
  assert len((tmp_path / "rejected").read_text().splitlines()) == 2
  rows = [(s["name"], s["rows"]) for s in read_results.sources(plan, reads)]
  assert rows == [("a.csv", 5), ("b.csv", 7)]
  said = "without an offset, read as UTC"
  assert read_results.times(plan, reads).kinds == {"a.csv": said, "b.csv": said}


def test_the_share_of_bad_rows_is_that_of_the_whole_log(tmp_path):
  good, bad = log_files.good_rows(30), ["u,e,d,never"]
  plan, reads = read(
      tmp_path, {"a.csv": good, "b.csv": bad}, max_bad_fraction=0.05
  )
  read_results.check(plan, reads)
  options = dataclasses.replace(plan.options, max_bad_fraction=0.03)
  with pytest.raises(UserError, match=r"1 of 31 rows \(3.2%\) were rejected"):
    read_results.check(dataclasses.replace(plan, options=options), reads)


def test_without_a_good_row_no_share_is_small_enough(tmp_path):
  plan, reads = read(
      tmp_path, {"a.csv": ["u,e,d,never"]}, max_bad_fraction=1.0
  )
  with pytest.raises(UserError, match="1 of 1 rows"):
    read_results.check(plan, reads)
  joined = read_results.rejected(plan, reads, pathlib.Path(os.devnull))
  assert joined.total == 1

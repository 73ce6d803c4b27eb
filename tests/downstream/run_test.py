"""Whole tables: rows, differences, resumption, suspicions, next items."""

import dataclasses

import numpy as np
import polars as pl
import pytest

from behavior_lm.artifacts import downstream as record
from behavior_lm.common.errors import UserError
from behavior_lm.downstream import cross_validation as cv
from behavior_lm.downstream import run
from behavior_lm.downstream.tasks import find_task
from tests.downstream import tiny_task
from tests.logs.support import log_files

FAST = run.Settings(folds=3, seeds=(0, 1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp("task")


@pytest.fixture(scope="module")
def data(folder):
  return tiny_task.read(folder)


@pytest.fixture(autouse=True)
def small(monkeypatch):
  tiny_task.make_models_small(monkeypatch)


@pytest.mark.slow
def test_scripts_are_told_from_people_and_the_record_is_read_back(
    data, tmp_path
):
  settings = dataclasses.replace(
      FAST, hours=True, train_sizes=(10,),
      rows=("event counts", "prior", "hours"),
  )
  found = run.run_table(data, settings, tmp_path, tiny_task.QUIET)
  rows = {row["name"]: row for row in found["rows"]}
  assert rows["nothing, prior"]["metrics"]["auc"][0] == 0.5
  best = rows[found["best_baseline"]]
  assert best["metrics"]["auc"][0] > 0.9
  assert best["difference"] is None
  assert rows["nothing, prior"]["difference"][2] < 0
  assert rows["nothing, prior"]["p"] < 0.01
  assert any("hours" in name for name in rows)
  assert [(one["size"], one["name"]) for one in found["curve"]] == [
      (10, "event counts, logistic"), (10, "event counts, forest"),
  ]
  paths = record.write_downstream(tmp_path, found)
  assert record.read_downstream(paths[0])["rows"] == found["rows"]
  text = paths[1].read_text()
  for part in (*rows, "3 folds", "seeds 0, 1", found["config_hash"],
               "Fewer training rows", "Calibration of"):
    assert part in text, part


@pytest.mark.slow
def test_finished_rows_are_not_fitted_again(data, tmp_path, monkeypatch):
  only = dataclasses.replace(FAST, rows=("event counts",))
  first = run.run_table(data, only, tmp_path, tiny_task.QUIET)
  fitted = []
  score = cv.score_row
  monkeypatch.setattr(
      cv, "score_row",
      lambda row, *args, **kwargs: (
          fitted.append(row.name), score(row, *args, **kwargs)
      )[1],
  )
  more = dataclasses.replace(FAST, rows=("event counts", "prior"))
  second = run.run_table(data, more, tmp_path, tiny_task.QUIET)
  assert fitted == ["nothing, prior"]
  assert second["rows"][1:] == first["rows"]


@pytest.mark.slow
def test_rows_of_a_run_join_those_of_the_baselines(data, tmp_path):
  rng = np.random.default_rng(0)
  vectors = rng.normal(size=(40, 4)).astype(np.float32)
  vectors[:, 0] += 4 * data.labels
  surprise = rng.normal(size=(40, 3)).astype(np.float32)
  found = run.run_table(
      data,
      run.Settings(
          folds=3, seeds=(0,),
          rows=("event counts, forest", "vectors, ", "surprise, forest"),
      ),
      tmp_path, tiny_task.QUIET, run_features=(vectors, surprise), run="gate",
  )
  rows = {row["name"]: row for row in found["rows"]}
  assert rows["vectors, logistic"]["group"] == "model"
  assert rows["vectors, logistic"]["metrics"]["auc"][0] > 0.9
  assert "vectors, forest" in rows
  assert "surprise, forest" in rows
  assert "vectors + aggregates + surprise, forest" in rows
  assert found["run"] == "gate"


def test_the_date_is_named_where_it_separates_the_classes(data, tmp_path):
  # The classes of one log were drawn from different days.
  labels = (data.features.first > np.median(data.features.first)).astype(int)
  planted = dataclasses.replace(data, labels=labels)
  texts = [one.text() for one in run.suspicions(planted)]
  assert any("date of the first event alone has AUC 1" in t for t in texts)
  # Every day and every kind of user is in both halves.
  halves = dataclasses.replace(data, labels=np.arange(40) // 20)
  assert run.suspicions(halves) == []


def test_rows_without_a_baseline_are_refused(data, tmp_path):
  with pytest.raises(UserError, match="--rows magic: no baseline"):
    run.run_table(
        data, dataclasses.replace(FAST, rows=("magic",)), tmp_path,
        tiny_task.QUIET,
    )
  with pytest.raises(UserError, match="--seeds: give different"):
    run.Settings(seeds=(1, 1))
  with pytest.raises(UserError, match="--folds 1"):
    run.Settings(folds=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "label, kind", [("team", "multi_class"), ("tags", "multi_label"),
                    ("speed", "regression")],
)
def test_every_kind_of_label_makes_a_table(folder, data, tmp_path, label,
                                           kind):
  found = run.run_table(
      tiny_task.read(folder, label, kind),
      dataclasses.replace(FAST, rows=("event counts", "prior")),
      tmp_path, tiny_task.QUIET,
  )
  main = found["main"]
  rows = {row["name"]: row["metrics"][main][0] for row in found["rows"]}
  assert max(rows.values()) > rows["nothing, prior"] + 0.3
  record.to_markdown(found)


@pytest.fixture(scope="module")
def walks(tmp_path_factory):
  """Users who walk from map to map by a rule, with shopping between."""
  rng = np.random.default_rng(0)
  rows = []
  for user in range(8):
    at = 0
    for step in range(60):
      seconds = 100 * step
      rows.append(log_files.row(f"u{user}", "walk", "0", seconds))
      new = (at + 1 + int(rng.random() < 0.2)) % 5
      # The source of a transfer is announced in the same second.
      rows.append(log_files.row(f"u{user}", "400028", str(at), seconds + 7))
      rows.append(log_files.row(f"u{user}", "400027", str(new), seconds + 7))
      at = new
  folder = tmp_path_factory.mktemp("walks")
  log = log_files.write_csv(folder / "log.csv", rows)
  return log_files.prepared(log, folder / "data", timezone="UTC")


@pytest.mark.parametrize("split", ["time", "user", "user_time"])
def test_the_next_map_is_ranked_by_chains(walks, tmp_path, split):
  settings = run.Settings(split=split, folds=2, seeds=(0, 1))
  found = run.run_next_items(
      walks, find_task("next_map"), settings, tmp_path, tiny_task.QUIET
  )
  top = {row["name"]: row["metrics"]["top_1"][0] for row in found["rows"]}
  assert top["Markov-1"] > 0.7
  assert top["popularity"] < 0.4
  assert found["num_rows"] == 480
  record.to_markdown(found)


def test_what_is_at_the_second_of_a_transfer_is_not_in_its_history(walks):
  from behavior_lm.downstream import next_item

  data = next_item.read_next_items(
      walks, find_task("next_map"), tiny_task.QUIET
  )
  events = data.samples.history.pairs["event_id"]
  seen = {
      event for row in (5, 100)
      for event in events.gather(data.samples[row]["pair"])
  }
  assert "400028" not in seen  # The sources are excluded everywhere.
  last = data.columns["event"]
  assert set(events.gather(pl.Series(last[last >= 0]))) == {"walk"}


def test_a_log_without_transfers_is_named(data, tmp_path):
  with pytest.raises(UserError, match="no event with the event_id '400027'"):
    run.run_next_items(
        data.parts[0].dataset, find_task("next_map"),
        run.Settings(split="time"), tmp_path, tiny_task.QUIET,
    )

"""From files to probe.json: joins, notes, the oracle."""

import json

import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.downstream import models
from behavior_lm.downstream import probe
from behavior_lm.downstream import probe_files
from tests.logs.support import log_files

NUM_USERS = 40


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
  """User i has 6 events; those of odd users are mostly 'loop'."""
  folder = tmp_path_factory.mktemp("probe")
  rows = [
      log_files.row(
          f"u{i:02}", "loop" if i % 2 and j % 3 else f"e{j}", "0", 900 * i + j
      )
      for i in range(NUM_USERS)
      for j in range(6)
  ]
  log = log_files.write_csv(folder / "log.csv", rows)
  return log_files.prepared(
      log, folder / "data", timezone="UTC", split_time="2024-03-04T05:00:00"
  )


@pytest.fixture
def files(tmp_path):
  users = [f"u{i:02}" for i in range(NUM_USERS)]
  rng = np.random.default_rng(0)
  pl.DataFrame({
      "user_id": users,
      "start": [None] * NUM_USERS,
      "num_events": [6] * NUM_USERS,
      "embedding": rng.normal(size=(NUM_USERS, 4)).tolist(),
  }).write_parquet(tmp_path / "users.parquet")
  pl.DataFrame({
      "user_id": users,
      "odd": [i % 2 for i in range(NUM_USERS)],
      "rare": [int(i < 3) for i in range(NUM_USERS)],
  }).write_csv(tmp_path / "labels.csv")
  return tmp_path


def read(files, dataset, **options):
  return probe_files.read_input(
      files / "users.parquet", dataset, files / "labels.csv", **options
  )


def test_features_vectors_and_labels_are_of_the_same_users(files, dataset):
  vectors = pl.read_parquet(files / "users.parquet")
  vectors.sample(fraction=1, shuffle=True, seed=1).write_parquet(
      files / "users.parquet"
  )
  data = read(files, dataset)
  assert data.features.users == vectors["user_id"].to_list()
  np.testing.assert_allclose(
      data.vectors, np.array(vectors["embedding"].to_list()), rtol=1e-6
  )
  np.testing.assert_array_equal(data.labels["odd"], np.arange(40) % 2)
  loops = data.features.counts.toarray()
  loop = dataset.pairs["event_id"].to_list().index("loop")
  np.testing.assert_array_equal(loops[:, loop], 4 * (np.arange(40) % 2))
  assert data.notes == []


def test_what_does_not_fit_is_noted(files, dataset):
  vectors = pl.read_parquet(files / "users.parquet")
  vectors.slice(2).with_columns(num_events=7).write_parquet(
      files / "users.parquet"
  )
  labels = pl.read_csv(files / "labels.csv", infer_schema=False)
  labels.slice(1).write_csv(files / "labels.csv")
  data = read(files, dataset, names=["odd"])
  assert len(data.features.users) == 38
  assert list(data.labels) == ["odd"]
  assert data.notes == [
      "1 users of the data without a label, left out ('u00')",
      "1 labelled users have no embedding, left out",
      "the vectors of 38 users stand for other events than the counts (in all"
      " 266 against 228 in train, test): embed and count the same splits to"
      " compare them",
  ]


def test_events_are_counted_in_the_wanted_splits(files, dataset):
  data = read(files, dataset, splits=["test"])
  assert 0 < len(data.features.users) < NUM_USERS
  with pytest.raises(UserError, match="no split 'future'"):
    read(files, dataset, splits=["future"])


def test_vectors_of_other_users_are_refused(files, dataset):
  vectors = pl.read_parquet(files / "users.parquet")
  vectors.with_columns(pl.col("user_id") + pl.lit("x")).write_parquet(
      files / "users.parquet"
  )
  with pytest.raises(UserError, match="none of the labelled users"):
    read(files, dataset)


@pytest.mark.slow
def test_labels_with_too_few_users_are_left_out_with_a_note(
    files, dataset, monkeypatch
):
  monkeypatch.setattr(models, "NUM_TREES", 10)
  rows, notes = probe_files.probe_labels(read(files, dataset), seeds=(0,))
  assert {row["label"] for row in rows} == {"odd"}
  assert [row["features"] for row in rows] == list(probe.PROBES)
  assert notes == [
      "label 'rare' is left out: 3 users have 1, and 5 folds take at least 5"
      " of each"
  ]
  counts = next(row for row in rows if row["features"] == "event counts")
  assert counts["auc"] == 1
  with pytest.raises(UserError, match="nothing to probe: label 'rare'"):
    probe_files.probe_labels(read(files, dataset, names=["rare"]))


@pytest.mark.slow
def test_users_without_one_label_keep_the_other(files, dataset, monkeypatch):
  monkeypatch.setattr(models, "NUM_TREES", 10)
  labels = pl.read_csv(files / "labels.csv", infer_schema=False)
  labels.with_columns(
      odd=pl.when(pl.col("user_id") < "u10").then(None).otherwise("odd")
  ).write_csv(files / "labels.csv")
  rows, notes = probe_files.probe_labels(read(files, dataset), seeds=(0,))
  assert rows[0]["num_users"] == 30
  assert "label 'odd': 10 users have none" in notes


@pytest.mark.parametrize(
    "content",
    [
        {"odd": 0.9, "none": None},
        {"odd": {"auc": 0.9, "label_noise": 0.1}, "none": {"auc": None}},
        {"oracle": {"odd": {"auc": 0.9}}, "players": {}},
    ],
)
def test_the_oracle_is_read_in_every_form(tmp_path, content):
  path = tmp_path / "truth.json"
  path.write_text(json.dumps(content))
  assert probe_files.read_oracle(path) == {"odd": 0.9}


@pytest.mark.parametrize(
    "text, message",
    [
        ("[1]", "no object of label and AUC"),
        ("{", "not readable as JSON"),
        ('{"odd": "high"}', "the AUC of 'odd' is 'high'"),
        ('{"odd": true}', "the AUC of 'odd' is True"),
    ],
)
def test_bad_oracles_say_what_is_wrong(tmp_path, text, message):
  path = tmp_path / "truth.json"
  path.write_text(text)
  with pytest.raises(UserError, match=message):
    probe_files.read_oracle(path)


def test_contradicting_labels_are_refused_or_left_out(files, dataset):
  labels = pl.read_csv(files / "labels.csv", infer_schema=False)
  name = next(name for name in labels.columns if name != "user_id")
  first = labels.head(1)
  other = first.with_columns(
      pl.when(pl.col(name) == "1").then(pl.lit("0")).otherwise(pl.lit("1"))
      .alias(name)
  )
  pl.concat([labels, other]).write_csv(files / "labels.csv")
  with pytest.raises(UserError, match="1 users have contradicting labels"):
    read(files, dataset)
  data = read(files, dataset, drop_contradictions=True)
  assert first["user_id"][0] not in data.features.users
  assert any("contradicting labels, left out" in note for note in data.notes)


@pytest.mark.slow
def test_finished_repetitions_are_not_fitted_again(
    files, dataset, monkeypatch, tmp_path
):
  monkeypatch.setattr(models, "NUM_TREES", 10)
  data = read(files, dataset, names=["odd"])
  parts = tmp_path / "parts"
  first = probe_files.probe_labels(data, seeds=(0,), folder=parts)
  monkeypatch.setattr(probe, "_out_of_fold", None)
  assert probe_files.probe_labels(data, seeds=(0,), folder=parts) == first
  with pytest.raises(TypeError):  # Other folds are other work.
    probe_files.probe_labels(data, num_folds=4, seeds=(0,), folder=parts)

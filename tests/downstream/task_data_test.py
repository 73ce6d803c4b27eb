"""Rows of tasks from logs and labels; bad input is one clear line."""

import numpy as np
import polars as pl
import pytest

from behavior_lm.baselines import aggregates
from behavior_lm.common.errors import UserError
from behavior_lm.downstream import task_data
from behavior_lm.downstream.tasks import find_task
from behavior_lm.downstream.tasks import Task
from tests.downstream import tiny_task


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp("task")


@pytest.fixture(scope="module")
def data(folder):
  return tiny_task.read(folder)


def labels_with(folder, tmp_path, **columns):
  path = tmp_path / "labels.csv"
  table = pl.read_csv(folder / "labels.csv", infer_schema=False)
  table.with_columns(**columns).write_csv(path)
  return path


def test_rows_have_the_labels_and_events_of_their_users(data):
  assert data.users == [f"u{user:02}" for user in range(40)]
  np.testing.assert_array_equal(data.labels, np.arange(40) % 2)
  np.testing.assert_array_equal(data.features.num_events, 12)
  assert data.parts[0].notes == []


@pytest.mark.parametrize(
    "label, kind, first, classes",
    [
        ("team", "multi_class", 1, ["blue", "red"]),
        ("tags", "multi_label", [1, 1], ["a", "b"]),
        ("speed", "regression", 0.0, []),
    ],
)
def test_labels_of_each_kind_are_encoded(folder, data, label, kind, first,
                                         classes):
  del data  # Writes the files.
  found = tiny_task.read(folder, label, kind)
  np.testing.assert_array_equal(found.labels[0], first)
  assert found.classes == classes


def test_a_row_sees_nothing_at_or_after_its_time(folder, data, tmp_path):
  first = data.features.first
  path = tmp_path / "labels.csv"
  # After five events or so; in seconds since the epoch.
  times = [str(int(first[row] // 10**6) + 50) for row in range(40)]
  pl.read_csv(folder / "labels.csv", infer_schema=False).with_columns(
      at=pl.Series(times)
  ).write_csv(path)
  cut = tiny_task.read(folder, labels=path, time="at")
  assert (cut.features.num_events < 12).all()
  assert (cut.features.last < first + 50 * 10**6).all()


def test_days_are_counted_back_from_the_end_of_the_log_if_declared(
    folder, data
):
  silence = list(aggregates.NAMES).index("days since the last event")
  own = data.features.aggregates[:, silence]
  np.testing.assert_allclose(own, 0, atol=1e-6)
  found = tiny_task.read(folder, days_back_from="log_end")
  days = found.features.aggregates[:, silence]
  np.testing.assert_allclose(days, 4 - np.arange(40) % 5, atol=0.02)


def test_what_does_not_fit_is_noted(folder, data, tmp_path):
  path = tmp_path / "labels.csv"
  table = pl.read_csv(folder / "labels.csv", infer_schema=False)
  stranger = table[0].with_columns(user_id=pl.lit("nobody"))
  against = table[1].with_columns(bot=pl.lit("0"))
  empty = table[2].with_columns(bot=pl.lit(None, pl.String))
  pl.concat([table[:2], empty, table[3:], table[3], stranger, against]
            ).write_csv(path)
  found = tiny_task.read(folder, labels=path)
  assert len(found.labels) == 38
  assert found.parts[0].notes == [
      "labels.csv: 1 users of the labels are not in the log",
      "labels.csv: 1 users of the log have no label",
      "labels.csv: 1 rows repeat another one; they count once",
      "labels.csv: 2 rows contradict each other, left out",
      "labels.csv: 1 rows have no value of the label, left out",
  ]


def test_labels_of_unknown_users_alone_are_refused(folder, data, tmp_path):
  path = labels_with(folder, tmp_path, user_id=pl.lit("x") + pl.col("user_id"))
  with pytest.raises(UserError, match="none of its 40 users") as caught:
    tiny_task.read(folder, labels=path)
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "label, kind, message",
    [
        ("bot", "binary", "all 40 rows have 1"),
        ("team", "multi_class", "all 40 rows have '1'"),
        ("speed", "regression", "every row has 1"),
        ("tags", "multi_label", "no row has any label"),
    ],
)
def test_one_class_only_is_refused(folder, data, tmp_path, label, kind,
                                   message):
  value = "|" if kind == "multi_label" else "1"
  path = labels_with(folder, tmp_path, **{label: pl.lit(value)})
  with pytest.raises(UserError, match=message):
    tiny_task.read(folder, label, kind, labels=path)


def test_a_file_in_another_encoding_is_named(folder, data, tmp_path):
  path = tmp_path / "labels.csv"
  path.write_bytes("user_id,bot\nJürgen,1\n".encode("latin-1"))
  with pytest.raises(UserError, match="csv: is not written in UTF-8") as e:
    tiny_task.read(folder, labels=path)
  assert "\n" not in str(e.value)


def test_the_only_binary_column_is_found_or_asked_for(folder, data, tmp_path):
  assert len(tiny_task.read(folder, label="").labels) == 40
  path = labels_with(folder, tmp_path, other=pl.col("bot"))
  with pytest.raises(UserError, match="2 columns hold 0 and 1.*--label"):
    tiny_task.read(folder, label="", labels=path)


def test_extras_must_be_numeric_columns_of_the_log(folder, data):
  with pytest.raises(UserError, match="--extras level: .* no numeric column"):
    task_data.gather(data.parts, data.task, tiny_task.QUIET, ["level"])


def test_unknown_tasks_and_settings_are_named():
  with pytest.raises(UserError, match="--task 'cheat'; choose one of bot"):
    find_task("cheat")
  with pytest.raises(UserError, match="--kind 'yes'"):
    Task("table", "bot", "yes")
  with pytest.raises(UserError, match="--days_back_from 'now'"):
    Task("table", "bot", "binary", days_back_from="now")

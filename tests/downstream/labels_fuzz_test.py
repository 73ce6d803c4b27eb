"""Dirt and damage of label tables: right labels, or one message."""

import csv
import io
import pathlib
import tempfile

from hypothesis import given
from hypothesis import strategies as st
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.downstream.labels import read_labels
from tests.damage import damaged
from tests.damage import damages
from tests.damage import fuzz

_USERS = ["a", "b", "7", "7.0", "é", " a", 'say "x"', "x,y", "NULL", "1e3"]
_CELL = st.sampled_from(
    ["0", "1", "1.0", "TRUE", " false ", "", "NA", "null", "NaN", "\\N"]
)
_ODD_CELL = _CELL | st.sampled_from(
    ["2", "yes", "-1", "1,0", "x\ny", ";", '"', "\0", "１", "1e0", "inf"]
)
_MEANS = {"0": 0, "false": 0, "1": 1, "1.0": 1, "true": 1}
_ABSENT = {"", "na", "null", "nan", "\\n"}


def tables(cells):
  return st.lists(
      st.tuples(st.sampled_from(_USERS), cells, cells), min_size=1, max_size=9
  )


def written(folder, rows, kind, separator):
  header = ("user_id", "bot", "churn")
  if kind == "parquet":
    frame = pl.DataFrame(rows, schema=header, orient="row")
    frame.write_parquet(folder / "labels.parquet")
    return
  text = io.StringIO()
  writer = csv.writer(text, delimiter=separator, lineterminator="\n")
  writer.writerows([header, *rows])
  (folder / "labels.csv").write_text(text.getvalue(), encoding="utf-8")


def read(folder):
  """The labels; None if the table is refused."""
  [path] = [path for path in folder.iterdir() if path.suffix != ".bak"]
  try:
    return read_labels(path, _USERS, drop_contradictions=True)
  except UserError as error:
    assert str(error)
    return None


def meant(cell):
  """0, 1, None for no label; KeyError for anything else."""
  text = cell.strip().lower()
  return None if text in _ABSENT else _MEANS[text]


def expected(rows, place):
  """{user: set of labels} of a column; None if it is no label."""
  found = {}
  for row in rows:
    try:
      label = meant(row[place])
    except KeyError:
      return None
    found.setdefault(row[0], set()).update({label} - {None})
  return found if any(found.values()) else None


@pytest.mark.slow
@fuzz(100)
@given(
    tables(_CELL) | tables(_ODD_CELL),
    st.sampled_from(["csv", "parquet"]),
    st.sampled_from([",", ";", "\t"]),
)
def test_every_label_is_the_one_that_was_written(rows, kind, separator):
  want = [
      (name, column)
      for place, name in ((1, "bot"), (2, "churn"))
      if (column := expected(rows, place)) is not None
  ]
  with tempfile.TemporaryDirectory() as folder:
    written(pathlib.Path(folder), rows, kind, separator)
    found = read(pathlib.Path(folder))
  assert (found is None) == (not want)
  if found is None:
    return
  assert found.names == [name for name, _ in want]
  contradicted = {
      user for _, column in want for user in column if len(column[user]) > 1
  }
  assert set(found.contradictions) == contradicted
  assert set(found.table["user_id"]) == {row[0] for row in rows} - contradicted
  for name, column in want:
    for user, label in found.table.select("user_id", name).iter_rows():
      assert {label} - {None} == column[user]


@pytest.mark.slow
@fuzz(100)
@given(tables(_CELL), st.sampled_from(["csv", "parquet"]), damages())
def test_damage_is_a_message_or_labels_of_known_users(rows, kind, harm):
  with tempfile.TemporaryDirectory() as folder:
    written(pathlib.Path(folder), rows, kind, ",")
    with damaged(folder, harm) as (copy, _):
      found = read(copy) if any(copy.iterdir()) else None
  if found is not None:
    assert set(found.table["user_id"]) <= set(_USERS)
    for name in found.names:
      assert set(found.table[name]) <= {0, 1, None}

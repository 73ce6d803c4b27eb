import pytest

from behavior_lm.common.errors import UserError
from tests.logs.formats import reading

_NUMBERS = [f"I{n}" for n in range(1, 14)]
_FIELDS = [f"C{n}" for n in range(1, 27)]


def row(label="1", numbers=("4", "", "7"), fields=("aa", "", "cc")):
  numbers = [*numbers, *[""] * (13 - len(numbers))]
  return [label, *numbers, *fields, *[""] * (26 - len(fields))]


def test_a_tab_separated_row_without_a_header_is_a_sequence_of_its_own(
    tmp_path,
):
  log = reading.write(
      tmp_path / "train.txt",
      "\t".join(row()),
      "\t".join(row("0", (), ("", "dd"))),
  )
  assert reading.events(log, "criteo", tmp_path) == [
      ("train.txt:1", "C1", "aa", "1970-01-01T00:00:01Z"),
      ("train.txt:1", "C3", "cc", "1970-01-01T00:00:03Z"),
      ("train.txt:2", "C2", "dd", "1970-01-01T00:00:02Z"),
  ]


def test_commas_a_header_and_ids_are_understood(tmp_path):
  log = reading.write(
      tmp_path / "train.csv",
      ",".join(["Id", "Label", *_NUMBERS, *_FIELDS]),
      ",".join(["900", *row()]),
  )
  found = reading.events(
      log, "criteo", tmp_path, extras=("label", "i1", "i2", "i3", "c1", "c2")
  )
  extras = (1.0, 4.0, None, 7.0, "aa", None)
  assert found == [
      ("900", "C1", "aa", "1970-01-01T00:00:01Z", *extras),
      ("900", "C3", "cc", "1970-01-01T00:00:03Z", *extras),
  ]


def test_test_rows_have_no_label(tmp_path):
  log = reading.write(tmp_path / "test.txt", "\t".join(row()[1:]))
  assert len(reading.events(log, "criteo", tmp_path)) == 2


def test_a_row_without_any_field_is_rejected(tmp_path):
  log = reading.write(
      tmp_path / "train.txt", "\t".join(row()), "\t".join(row(fields=()))
  )
  found, bad = reading.read(log, "criteo", tmp_path)
  assert (found.height, bad) == (2, [(2, "no event")])


def test_a_cut_off_row_is_rejected(tmp_path):
  log = tmp_path / "train.txt"
  log.write_text("\t".join(row()) + "\n" + "\t".join(row())[:20])
  found, bad = reading.read(log, "criteo", tmp_path)
  assert (found.height, bad) == (2, [(2, "cut-off last row")])


def test_other_columns_are_refused(tmp_path):
  log = reading.write(tmp_path / "train.txt", "\t".join(row()))
  with pytest.raises(UserError, match="--columns user_id=a: .* no named"):
    reading.read(log, "criteo", tmp_path, columns={"user_id": "a"})
  with pytest.raises(UserError, match="--extras price: --format criteo has"):
    reading.read(log, "criteo", tmp_path, extras=("price",))


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "rows", "events"),
    [
        ("train.tiny.csv", 1_999, 45_836),
        ("deepctr_criteo_sample.txt", 200, 4_627),
        ("torch_rechub_criteo_sample.csv", 115, 2_668),
    ],
)
def test_the_real_files_are_read_whole(
    tmp_path, data_root, name, rows, events
):
  log = data_root / "public" / "criteo" / name
  found, bad = reading.read(log, "criteo", tmp_path)
  assert (found["user_id"].n_unique(), found.height) == (rows, events)
  assert bad == []

import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.inference.parts import differences
from behavior_lm.inference.parts import Parts

SETTINGS = {"layer": 2, "splits": ["train", "test"], "run": "a"}
TABLE = pl.DataFrame({"x": [1.5, 2.5]})


@pytest.fixture
def out(tmp_path):
  return tmp_path / "new" / "out.parquet"


def test_a_finished_part_is_found_by_the_next_process(out):
  with Parts(out, SETTINGS) as parts:
    assert parts.find("train-0-2") is None
    written = parts.write("train-0-2", TABLE)
  with Parts(out, SETTINGS | {"run": "renamed"}) as parts:
    assert parts.find("train-0-2") == written
    assert parts.find("train-0-20") is None
    assert pl.read_parquet(written).equals(TABLE)
    assert parts.damaged == []
    parts.remove()
  assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: b"",
        lambda data: data[:40] + bytes([data[40] ^ 1]) + data[41:],
    ],
)
def test_a_damaged_part_is_noticed_and_not_used(out, damage):
  with Parts(out, SETTINGS) as parts:
    path = parts.write("train-0-2", TABLE)
    kept = parts.write("train-2-4", TABLE)
    path.write_bytes(damage(path.read_bytes()))
    assert parts.find("train-0-2") is None
    assert parts.damaged == [path.name]
    assert parts.find("train-2-4") == kept
    assert parts.find(parts.write("train-0-2", TABLE).name.split(".")[0])


def test_a_part_that_was_being_written_does_not_count(out):
  with Parts(out, SETTINGS) as parts:
    (parts.folder / "train-0-2.tmp").write_bytes(b"half")
    assert parts.find("train-0-2") is None
    assert parts.damaged == []


def test_parts_of_other_settings_are_never_mixed_in(out):
  with Parts(out, SETTINGS) as parts:
    kept = parts.write("train-0-2", TABLE)
  message = r"other settings: layer \(2 there, 1 now\)"
  with (
      pytest.raises(UserError, match=message),
      Parts(out, SETTINGS | {"layer": 1}),
  ):
    pass
  assert kept.exists()


def test_a_damaged_manifest_is_an_error(out):
  with Parts(out, SETTINGS) as parts:
    (parts.folder / "manifest.json").write_text('{"layer": ')
  with (
      pytest.raises(UserError, match="is damaged. Delete"),
      Parts(out, SETTINGS),
  ):
    pass


def test_two_processes_do_not_work_on_one_result(out):
  with Parts(out, SETTINGS):
    with (
        pytest.raises(UserError, match="another process is making it now"),
        Parts(out, SETTINGS),
    ):
      pass
  with Parts(out, SETTINGS):
    pass


def test_a_place_that_cannot_be_written_is_an_error(tmp_path):
  (tmp_path / "file").write_text("")
  with (
      pytest.raises(UserError, match="cannot be written"),
      Parts(tmp_path / "file" / "out.parquet", SETTINGS),
  ):
    pass


def test_differences_name_what_is_missing_on_either_side():
  assert differences(SETTINGS, SETTINGS | {"run": "b"}) == ""
  assert differences({"a": 1}, {"b": 2}) == (
      "a (1 there, None now), b (None there, 2 now)"
  )

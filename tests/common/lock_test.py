"""One process at a time in a folder."""

import os

import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.common.lock import held
from behavior_lm.common.lock import LOCK


def test_two_processes_do_not_hold_one_folder(tmp_path):
  folder = tmp_path / "new" / "run"
  with held(folder, "--workdir run"):
    assert (folder / LOCK).read_text() == str(os.getpid())
    message = f"--workdir run: process {os.getpid()} is writing it. Wait for it"
    with pytest.raises(UserError, match=message), held(folder, "--workdir run"):
      pass
    (folder / "config.json").touch()
  assert [path.name for path in folder.iterdir()] == ["config.json"]
  with held(folder, ""):
    pass


def test_a_folder_that_stays_empty_is_removed_again(tmp_path):
  with pytest.raises(ValueError), held(tmp_path / "run", ""):
    raise ValueError
  assert not (tmp_path / "run").exists()
  (tmp_path / "mine").mkdir()
  with held(tmp_path / "mine", ""):
    pass
  assert (tmp_path / "mine").exists()


def test_a_folder_may_be_renamed_while_it_is_held(tmp_path):
  with held(tmp_path / "a", ""):
    (tmp_path / "a").rename(tmp_path / "b")
  assert (tmp_path / "b" / LOCK).exists()


def test_the_lock_of_one_who_has_just_left_is_none(tmp_path, monkeypatch):
  """Between opening the file and locking it, its holder deletes it."""
  locked = os.fstat

  def late(number):
    (tmp_path / LOCK).unlink(missing_ok=True)
    return locked(number)

  monkeypatch.setattr(os, "fstat", late)
  with pytest.raises(UserError, match="is writing it"), held(tmp_path, ""):
    pass


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
  (tmp_path / "file").touch()
  with pytest.raises(UserError, match="--out x: cannot be written: Not a dir"):
    with held(tmp_path / "file" / "folder", "--out x"):
      pass

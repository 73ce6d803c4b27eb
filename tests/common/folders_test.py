import errno
import json
import os
import socket
import subprocess
import sys

import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.common.folders import atomic_folder
from behavior_lm.common.folders import OWNER_FILE


def is_ours(path):
  return (path / "ours").exists()


def write(out, text="new", overwrite=False):
  with atomic_folder(out, overwrite=overwrite, is_ours=is_ours) as building:
    assert building.parent == out.parent
    (building / "ours").write_text(text)


def dead_pid():
  process = subprocess.Popen([sys.executable, "-c", ""])
  process.wait()
  return process.pid


def leftover(out, kind, pid, **owner):
  path = out.with_name(f"{out.name}.{kind}-{pid}")
  path.mkdir()
  (path / "ours").write_text("old")
  if owner:
    (path / OWNER_FILE).write_text(json.dumps({"pid": pid} | owner))
  return path


def listing(folder):
  return sorted(path.name for path in folder.iterdir())


def test_the_folder_appears_when_it_is_complete(tmp_path):
  out = tmp_path / "a" / "out"
  with atomic_folder(out, overwrite=False, is_ours=is_ours) as building:
    (building / "ours").write_text("x")
    assert not out.exists()
  assert listing(out) == ["ours"]
  assert listing(tmp_path / "a") == ["out"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_nothing(tmp_path, error):
  with (
      pytest.raises(error),
      atomic_folder(
          tmp_path / "out", overwrite=False, is_ours=is_ours
      ) as building,
  ):
    (building / "ours").write_text("x")
    raise error
  assert listing(tmp_path) == []


def test_a_failure_leaves_the_folder_that_was_to_be_replaced(tmp_path):
  write(tmp_path / "out", "old")
  with (
      pytest.raises(RuntimeError),
      atomic_folder(tmp_path / "out", overwrite=True, is_ours=is_ours),
  ):
    raise RuntimeError
  assert (tmp_path / "out" / "ours").read_text() == "old"
  assert listing(tmp_path) == ["out"]


def test_a_full_disk_is_said(tmp_path):
  with (
      pytest.raises(UserError, match="out: no space left on the disk. Nothing"),
      atomic_folder(tmp_path / "out", overwrite=False, is_ours=is_ours),
  ):
    raise OSError(errno.ENOSPC, "No space left on device")
  assert listing(tmp_path) == []


def test_a_folder_of_ours_is_replaced_only_when_asked(tmp_path):
  out = tmp_path / "out"
  write(out, "old")
  with pytest.raises(UserError) as caught:
    write(out)
  assert str(caught.value) == (
      f"--out {out}: holds a complete dataset. Pass --overwrite to replace it,"
      " or choose another folder."
  )
  assert (out / "ours").read_text() == "old"
  write(out, overwrite=True)
  assert (out / "ours").read_text() == "new"
  assert listing(tmp_path) == ["out"]


def test_a_folder_of_somebody_else_is_never_replaced(tmp_path):
  (tmp_path / "out").mkdir()
  (tmp_path / "out" / "thesis.tex").write_text("")
  for overwrite in (False, True):
    with pytest.raises(UserError) as caught:
      write(tmp_path / "out", overwrite=overwrite)
    assert str(caught.value) == (
        f"--out {tmp_path / 'out'}: exists and is not a dataset of this"
        " program, so it is never overwritten. Choose another folder."
    )
  assert listing(tmp_path / "out") == ["thesis.tex"]


def test_an_empty_folder_is_in_nobodys_way(tmp_path):
  (tmp_path / "out").mkdir()
  write(tmp_path / "out")
  assert listing(tmp_path / "out") == ["ours"]


def test_a_file_in_the_way_is_named(tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(UserError, match="file: is a file. Choose another folder"):
    write(tmp_path / "file")
  with pytest.raises(UserError, match=r"/file is a file, not a folder. Choose"):
    write(tmp_path / "file" / "out")
  assert listing(tmp_path) == ["file"]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
  if os.geteuid():
    tmp_path.chmod(0o500)
    out = tmp_path / "out"
  else:
    out = tmp_path.__class__("/proc/out")  # Not even root may write here.
  with pytest.raises(UserError, match="out: cannot be written: .*Choose ano"):
    write(out)


def test_leftovers_of_dead_runs_are_removed_and_no_others(tmp_path):
  out, dead = tmp_path / "out", dead_pid()
  here = socket.gethostname()
  leftover(out, "building", dead)
  leftover(out, "building", "9" * 30, host=here)
  alive = leftover(out, "building", os.getppid(), host=here)
  elsewhere = leftover(out, "building", f"{dead}1", host="another machine")
  other = leftover(tmp_path / "out2", "building", dead)
  write(out)
  assert listing(tmp_path) == sorted(
      ["out", alive.name, elsewhere.name, other.name]
  )


def test_a_run_killed_while_replacing_loses_nothing(tmp_path):
  out = tmp_path / "out"
  leftover(out, "old", dead_pid())
  with pytest.raises(UserError, match="holds a complete dataset"):
    write(out)
  assert (out / "ours").read_text() == "old"
  assert listing(tmp_path) == ["out"]

import errno
import os
import signal
import subprocess
import sys

import pytest

from behavior_lm.common.errors import Interrupted
from behavior_lm.common.errors import UserError
from behavior_lm.logs.stages.resumable import building_of
from behavior_lm.logs.stages.resumable import resumable_folder


def is_ours(path):
  return (path / "ours").exists()


def make(out, **options):
  return resumable_folder(
      out, **({"overwrite": False, "is_ours": is_ours} | options)
  )


def listing(folder):
  return sorted(path.name for path in folder.iterdir())


def leave(out, error=KeyboardInterrupt):
  with pytest.raises(error), make(out) as building:
    (building / "half").write_text("x")
    (building / "folder").mkdir()
    raise error("stopped")


def test_the_folder_appears_when_it_is_complete(tmp_path):
  out = tmp_path / "a" / "out"
  with make(out) as building:
    assert building == building_of(out)
    (building / "ours").write_text("x")
    assert not out.exists()
  assert listing(out) == ["ours"]
  assert listing(tmp_path / "a") == ["out"]


@pytest.mark.parametrize(
    "error", [RuntimeError, KeyboardInterrupt, SystemExit, Interrupted]
)
def test_what_is_done_is_there_for_the_next_run(tmp_path, error):
  leave(tmp_path / "out", error)
  assert listing(tmp_path) == ["out.building"]
  with make(tmp_path / "out") as building:
    assert listing(building) == ["folder", "half", "lock"]
    (building / "ours").write_text("x")
  assert listing(tmp_path) == ["out"]
  assert listing(tmp_path / "out") == ["folder", "half", "ours"]


def test_a_restart_begins_with_nothing(tmp_path):
  leave(tmp_path / "out")
  with make(tmp_path / "out", restart=True) as building:
    assert listing(building) == ["lock"]


def test_bad_input_leaves_nothing(tmp_path):
  leave(tmp_path / "out", UserError)
  assert listing(tmp_path) == []


def test_a_full_disk_is_said_and_what_is_done_stays(tmp_path):
  out = tmp_path / "out"
  with pytest.raises(Interrupted) as caught, make(out):
    raise OSError(errno.ENOSPC, "No space left on device")
  assert str(caught.value) == (
      f"--out {out}: no space left on the disk. What is done is in"
      f" {out}.building: make room and run the same command again to continue,"
      " or delete that folder."
  )
  assert listing(tmp_path) == ["out.building"]


def test_another_process_at_work_is_named(tmp_path):
  out = tmp_path / "out"
  with make(out):
    message = f"--out {out}: process {os.getpid()} is writing it. Wait for it"
    with pytest.raises(UserError, match=message), make(out):
      pass
  assert listing(tmp_path) == ["out"]


def test_a_killed_process_holds_no_lock(tmp_path):
  program = f"""
import os, pathlib, signal
from behavior_lm.logs.stages.resumable import resumable_folder
with resumable_folder(pathlib.Path({str(tmp_path / "out")!r}),
                      overwrite=False, is_ours=bool):
  os.kill(os.getpid(), signal.SIGKILL)
"""
  done = subprocess.run([sys.executable, "-c", program])
  assert done.returncode == -signal.SIGKILL
  assert listing(tmp_path / "out.building") == ["lock"]
  with make(tmp_path / "out"):
    pass
  assert listing(tmp_path) == ["out"]


def test_a_folder_of_ours_is_replaced_only_when_asked(tmp_path):
  out = tmp_path / "out"
  with make(out) as building:
    (building / "ours").write_text("old")
  with pytest.raises(UserError, match="holds a complete dataset"), make(out):
    pass
  with make(out, overwrite=True) as building:
    (building / "ours").write_text("new")
    assert (out / "ours").read_text() == "old"
  assert (out / "ours").read_text() == "new"
  assert listing(tmp_path) == ["out"]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
  out = tmp_path.__class__("/proc/out")  # Not even root may write here.
  message = "/proc/out: cannot be written"
  with pytest.raises(UserError, match=message), make(out):
    pass

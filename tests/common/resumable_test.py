import errno
import os
from pathlib import Path
import signal
import subprocess
import sys

import pytest

from behavior_lm.common import resumable
from behavior_lm.common.errors import Interrupted
from behavior_lm.common.errors import UserError
from behavior_lm.common.resumable import building_of
from behavior_lm.common.resumable import resumable_folder
from behavior_lm.common.resumable import work_folder

REQUEST = {"layer": 2, "splits": ("train", "test"), "run": "a"}


def finish(folder, content="abc", **options):
  path = folder / "file"
  path.write_text(content)
  return resumable.finish(
      folder,
      "a task",
      {"n": (1, 2)},
      [resumable.output(folder, path)],
      **options,
  )


def test_a_finished_task_gives_its_result_again(tmp_path):
  assert resumable.finished(tmp_path, "a task") is None
  result = finish(tmp_path)
  assert result == {"n": [1, 2]} == resumable.finished(tmp_path, "a task")
  assert resumable.finished(tmp_path, "another") is None


@pytest.mark.parametrize("content", ["abd", "ab", None])
def test_a_task_whose_file_is_damaged_is_not_finished(tmp_path, content):
  finish(tmp_path)
  if content is None:
    (tmp_path / "file").unlink()
  else:
    (tmp_path / "file").write_text(content)
  assert resumable.finished(tmp_path, "a task") is None
  assert resumable.was_finished(tmp_path, "a task")
  assert not resumable.was_finished(tmp_path, "another")


@pytest.mark.parametrize("share", [0, 0.5, 0.95])
def test_a_marker_that_is_cut_off_is_named(tmp_path, share):
  finish(tmp_path)
  [marker] = (tmp_path / "done").iterdir()
  text = marker.read_text()
  marker.write_text(text[: int(len(text) * share)])
  with pytest.raises(Interrupted, match=f"{marker}: is damaged .*Delete it"):
    resumable.finished(tmp_path, "a task")
  marker.unlink()
  assert resumable.finished(tmp_path, "a task") is None


def test_a_task_may_be_done_again(tmp_path):
  finish(tmp_path)
  finish(tmp_path, "longer than before")
  assert resumable.finished(tmp_path, "a task") == {"n": [1, 2]}
  assert len(list((tmp_path / "done").iterdir())) == 1


def test_the_result_of_another_request_does_not_count(tmp_path):
  finish(tmp_path, request=("a", 1))
  assert resumable.finished(tmp_path, "a task", request=["a", 1])
  assert resumable.finished(tmp_path, "a task", request=["a", 2]) is None
  assert resumable.finished(tmp_path, "a task") is None


def test_what_a_killed_run_finished_is_there_until_the_result_is(tmp_path):
  out = tmp_path / "new" / "out.parquet"
  with pytest.raises(KeyboardInterrupt), work_folder(out, REQUEST) as folder:
    finish(folder)
    raise KeyboardInterrupt
  renamed = REQUEST | {"run": "renamed"}
  with work_folder(out, renamed, ["run"]) as again:
    assert again == folder
    assert resumable.finished(folder, "a task") == {"n": [1, 2]}
  assert list(out.parent.iterdir()) == []


def test_tasks_of_another_request_are_never_mixed_in(tmp_path):
  out = tmp_path / "out.parquet"
  with pytest.raises(SystemExit), work_folder(out, REQUEST) as folder:
    finish(folder)
    raise SystemExit
  message = r"other settings: layer \(2 there, 1 now\)\. Use"
  with (
      pytest.raises(UserError, match=message),
      work_folder(out, REQUEST | {"layer": 1, "run": "b"}, ["run"]),
  ):
    pass
  assert resumable.finished(folder, "a task")


def test_a_damaged_request_is_an_error(tmp_path):
  out = tmp_path / "out.parquet"
  with pytest.raises(SystemExit), work_folder(out, REQUEST) as folder:
    (folder / resumable.REQUEST).write_text('{"layer": ')
    raise SystemExit
  with (
      pytest.raises(UserError, match="is damaged. Delete"),
      work_folder(out, REQUEST),
  ):
    pass


def test_differences_name_what_is_missing_on_either_side():
  assert resumable.differences(REQUEST, REQUEST | {"run": "b"}, ["run"]) == ""
  assert resumable.differences({"a": 1}, {"b": 2}) == (
      "a (1 there, None now), b (None there, 2 now)"
  )


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
  with pytest.raises(Interrupted) as caught, make(out) as building:
    (building / "half").touch()
    raise OSError(errno.ENOSPC, "No space left on device")
  assert str(caught.value) == (
      f"--out {out}: no space left on the disk. What is done is in"
      f" {out}.building: make room and run the same command again to continue,"
      " or delete that folder."
  )
  assert listing(tmp_path) == ["out.building"]


@pytest.mark.parametrize("hold", [make, lambda out: work_folder(out, REQUEST)])
def test_another_process_at_work_is_named(tmp_path, hold):
  out = tmp_path / "out"
  with hold(out):
    message = f"--out {out}: process {os.getpid()} is writing it. Wait for it"
    with pytest.raises(UserError, match=message), hold(out):
      pass
  with hold(out):
    pass
  assert {"out"} >= set(listing(tmp_path))


def test_a_killed_process_holds_no_lock(tmp_path):
  program = f"""
import os, pathlib, signal
from behavior_lm.common.resumable import resumable_folder
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


@pytest.mark.parametrize("hold", [make, lambda out: work_folder(out, REQUEST)])
def test_a_place_that_cannot_be_written_is_named(hold):
  out = Path("/proc/out")  # Not even root may write here.
  message = "/proc/out: cannot be written"
  with pytest.raises(UserError, match=message), hold(out):
    pass

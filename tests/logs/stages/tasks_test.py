import pytest

from behavior_lm.logs.stages import tasks


def finish(work, content="abc"):
  path = work / "file"
  path.write_text(content)
  return tasks.finish(work, "a task", {"n": (1, 2)}, [tasks.output(work, path)])


def test_a_finished_task_gives_its_result_again(tmp_path):
  assert tasks.finished(tmp_path, "a task") is None
  result = finish(tmp_path)
  assert result == {"n": [1, 2]} == tasks.finished(tmp_path, "a task")
  assert tasks.finished(tmp_path, "another") is None


@pytest.mark.parametrize("content", ["abd", "ab", None])
def test_a_task_whose_file_is_damaged_is_not_finished(tmp_path, content):
  finish(tmp_path)
  if content is None:
    (tmp_path / "file").unlink()
  else:
    (tmp_path / "file").write_text(content)
  assert tasks.finished(tmp_path, "a task") is None


@pytest.mark.parametrize("share", [0, 0.5, 0.95])
def test_a_record_that_is_cut_off_is_none(tmp_path, share):
  finish(tmp_path)
  [record] = (tmp_path / "done").iterdir()
  text = record.read_text()
  record.write_text(text[: int(len(text) * share)])
  assert tasks.finished(tmp_path, "a task") is None


def test_a_task_may_be_done_again(tmp_path):
  finish(tmp_path)
  finish(tmp_path, "longer than before")
  assert tasks.finished(tmp_path, "a task") == {"n": [1, 2]}
  assert len(list((tmp_path / "done").iterdir())) == 1

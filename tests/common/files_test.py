from pathlib import Path

import pytest

from behavior_lm.common.files import write_whole


def test_a_file_is_replaced_and_nothing_else_left(tmp_path):
  path = tmp_path / "table.v1.md"
  for text in ("old", "new: größer"):
    write_whole(path, text)
  assert path.read_text(encoding="utf-8") == "new: größer"
  assert list(tmp_path.iterdir()) == [path]


def test_what_was_there_stays_if_writing_fails(tmp_path, monkeypatch):
  path = tmp_path / "table.md"
  write_whole(path, "old")
  monkeypatch.setattr(Path, "replace", lambda *_: 1 / 0)
  with pytest.raises(ZeroDivisionError):
    write_whole(path, "new")
  assert path.read_text() == "old"

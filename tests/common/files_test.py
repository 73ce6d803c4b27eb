import hashlib

import pytest

from behavior_lm.common.files import sha256
from behavior_lm.common.files import whole_file
from behavior_lm.common.files import write_whole


@pytest.mark.parametrize("content", ["new: größer", b"new: \xff"])
def test_a_file_is_replaced_and_nothing_else_left(tmp_path, content):
  path = tmp_path / "table.v1.md"
  for one in ("old", content):
    write_whole(path, one)
  data = content.encode() if isinstance(content, str) else content
  assert path.read_bytes() == data
  assert sha256(path) == hashlib.sha256(data).hexdigest()
  assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_what_was_there_stays_if_writing_fails(tmp_path, error):
  path = tmp_path / "table.md"
  write_whole(path, "old")
  with pytest.raises(error), whole_file(path) as temporary:
    temporary.write_text("half")
    assert path.read_text() == "old"
    raise error
  assert path.read_text() == "old"
  assert list(tmp_path.iterdir()) == [path]

"""Logs of tasks are prepared once."""

import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.downstream import prepare
from behavior_lm.logs import ingest
from tests.downstream import tiny_task


def test_a_raw_log_is_prepared_once_and_a_dataset_is_opened(
    tmp_path, monkeypatch
):
  log, _ = tiny_task.write(tmp_path, 4)
  out = tmp_path / "out"
  first = prepare.open_log(str(log), out, tiny_task.QUIET)
  monkeypatch.setattr(ingest, "prepare", None)
  again = prepare.open_log(str(log), out, tiny_task.QUIET)
  assert again.meta["fingerprint"] == first.meta["fingerprint"]
  opened = prepare.open_log(str(first.path), out, tiny_task.QUIET)
  assert opened.path == first.path
  with pytest.raises(UserError, match="no such log or dataset folder"):
    prepare.open_log(str(tmp_path / "absent.csv"), out, tiny_task.QUIET)

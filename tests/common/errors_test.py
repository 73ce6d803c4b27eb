import errno

import pytest

from behavior_lm.common.errors import first_line
from behavior_lm.common.errors import refused_by_machine


@pytest.mark.parametrize(
    ("error", "want"),
    [
        (ValueError("one"), "one"),
        (ValueError("\n one \ntwo"), "one "),
        (ValueError(""), "ValueError"),
        (KeyError(" \n"), r"' \n'"),
        (OSError(2, "No such file"), "[Errno 2] No such file"),
    ],
)
def test_the_first_line_of_an_error_says_what_was_wrong(error, want):
  assert first_line(error) == want


def test_a_full_disk_is_told_with_its_file():
  error = OSError(errno.ENOSPC, "No space left on device", "runs/a/log")
  told = refused_by_machine(error)
  assert "runs/a/log" in told and "no space" in told


@pytest.mark.parametrize("told", [
    "PERMISSION_DENIED: writing [OS error 13: EACCES]",
    "Failed to write: Permission denied [os_error_code='13']",
    "parquet: underlying IO error: Permission denied (os error 13)",
])
def test_what_a_library_was_refused_is_found_behind_other_errors(told):
  try:
    try:
      raise ValueError(told)
    except ValueError as inner:
      raise RuntimeError("checkpoint 5 failed") from inner
  except RuntimeError as outer:
    assert "rights" in refused_by_machine(outer)


@pytest.mark.parametrize("error", [ValueError("x"), OSError(2, "no file")])
def test_other_errors_are_ours_to_trace(error):
  assert refused_by_machine(error) == ""

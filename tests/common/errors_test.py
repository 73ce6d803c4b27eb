import pytest

from behavior_lm.common.errors import first_line


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

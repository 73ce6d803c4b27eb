"""Errors that a person reads: what was wrong, where, and what to do."""

from collections.abc import Callable
import errno
import re
import sys

from absl import app
from absl import flags
from absl import logging

from behavior_lm.common.command_flags import parse_flags

# What a machine refuses that a person can mend, and how.
_REFUSED = {
    errno.ENOSPC: "no space is left on the disk; make room",
    errno.EDQUOT: "the quota of the disk is used up; make room",
    errno.EFBIG: "a file may not grow so large here; raise ulimit -f",
    errno.EROFS: "the disk is read-only; choose another folder",
    errno.EACCES: "this user may not do that; change the rights of the folder",
    errno.EPERM: "this user may not do that; change the rights of the folder",
}
# "[OS error 13: ...", "[os_error_code='27']", "(os error 27)".
_OS_ERROR = re.compile(r"\bos[ _]error(?:_code)?[ =']+(\d+)", re.IGNORECASE)


class UserError(ValueError):
  """Bad input or usage. The message is shown alone, without a traceback."""


class Interrupted(UserError):
  """The work could not be ended, and what is done of it is worth keeping."""


def first_line(error: BaseException) -> str:
  """The first line of an error's message, or its type if it has none.

  Libraries add hints and traces below the line that says what was wrong.
  """
  return (str(error).strip().splitlines() or [type(error).__name__])[0]


def refused_by_machine(error: BaseException) -> str:
  """What a full disk or missing rights refused, and where; empty if neither.

  Args:
    error: an OSError, or one that was raised because of it; TensorStore, which
      writes checkpoints, and Polars put its number into their texts.
  """
  cause: BaseException | None = error
  while cause is not None:
    number = cause.errno if isinstance(cause, OSError) else None
    told = _OS_ERROR.search(str(cause))
    if number is None and told:
      number = int(told[1])
    if number in _REFUSED:
      name = getattr(cause, "filename", None)
      where = f"{name}: " if name else ""
      return (
          f"{where}{_REFUSED[number]}, then run the same command again. (The"
          f" machine says: {first_line(cause)})"
      )
    cause = cause.__cause__ or cause.__context__
  return ""


def run_command(main: Callable[[list[str]], None]) -> None:
  """Runs `main` as a command; a UserError ends it with its one message.

  The exit status is 2 for a UserError, and for a full disk or missing rights.
  Every other exception keeps its traceback: it is a defect of ours, and the
  trace is what a report needs.
  """

  def guarded(argv: list[str]) -> None:
    # Libraries report every file they touch; warnings are enough for a person
    # who did not ask for more.
    if not flags.FLAGS["verbosity"].present:
      logging.set_verbosity(logging.WARNING)
    if len(argv) > 1:
      print(
          f"error: unexpected argument {argv[1]!r}. Every option starts with"
          " --; see --help.",
          file=sys.stderr,
      )
      sys.exit(2)
    try:
      main(argv)
    except UserError as error:
      print(f"error: {error}", file=sys.stderr)
      sys.exit(2)
    except Exception as error:
      refused = refused_by_machine(error)
      if not refused:
        raise
      print(f"error: {refused}", file=sys.stderr)
      sys.exit(2)

  app.run(guarded, flags_parser=parse_flags)

"""Errors that a person reads: what was wrong, where, and what to do."""

from collections.abc import Callable
import sys

from absl import app
from absl import flags
from absl import logging

from behavior_lm.common.command_flags import parse_flags


class UserError(ValueError):
  """Bad input or usage. The message is shown alone, without a traceback."""


class Interrupted(UserError):
  """The work could not be ended, and what is done of it is worth keeping."""


def first_line(error: BaseException) -> str:
  """The first line of an error's message, or its type if it has none.

  Libraries add hints and traces below the line that says what was wrong.
  """
  return (str(error).strip().splitlines() or [type(error).__name__])[0]


def run_command(main: Callable[[list[str]], None]) -> None:
  """Runs `main` as a command; a UserError ends it with its one message.

  The exit status is 2 for a UserError. Every other exception keeps its
  traceback: it is a defect of ours, and the trace is what a report needs.
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

  app.run(guarded, flags_parser=parse_flags)

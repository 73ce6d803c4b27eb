"""SIGINT (Ctrl-C) and SIGTERM: stop at the end of a step, or at once."""

from collections.abc import Callable, Iterator
import contextlib
import signal
import sys
import threading
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt(contextlib.AbstractContextManager["Interrupt"]):
  """Context in which SIGINT and SIGTERM only set `requested` to their name.

  A second Ctrl-C raises KeyboardInterrupt: whoever presses twice wants out.
  """

  def __init__(self) -> None:
    self.requested = ""
    self._handled = _handled_by(self._handle)

  def __enter__(self) -> "Interrupt":
    self._handled.__enter__()
    return self

  def __exit__(self, *error: Any) -> None:
    self._handled.__exit__(*error)

  def _handle(self, number: int, frame: FrameType | None) -> None:
    del frame
    if self.requested and number == signal.SIGINT:
      raise KeyboardInterrupt
    self.requested = signal.Signals(number).name


class _Stopped(BaseException):
  """A signal; not an Exception, so that no `except Exception` swallows it."""


@contextlib.contextmanager
def exit_when_stopped(message: str) -> Iterator[None]:
  """Context that SIGINT and SIGTERM end, and the process with it.

  The body is left at once, its `finally` blocks run, then "stopped by SIGTERM;
  {message}" goes to standard error and the exit status is 128 + the signal, as
  a shell would have it.

  Args:
    message: what has become of the work, and how to continue it.
  """
  try:
    with _handled_by(_raise_stopped):
      yield
  except _Stopped as stopped:
    number = stopped.args[0]
    name = signal.Signals(number).name
    print(f"stopped by {name}; {message}", file=sys.stderr)
    sys.exit(128 + number)


def _raise_stopped(number: int, frame: FrameType | None) -> None:
  del frame
  raise _Stopped(number)


@contextlib.contextmanager
def _handled_by(
    handler: Callable[[int, FrameType | None], None],
) -> Iterator[None]:
  """Context in which `handler` gets both signals; afterwards as before."""
  # Python allows signal handlers in the main thread alone (notebooks run
  # elsewhere); there, nothing is caught and nothing is lost.
  if threading.current_thread() is not threading.main_thread():
    yield
    return
  previous = {number: signal.signal(number, handler) for number in _SIGNALS}
  try:
    yield
  finally:
    for number, old in previous.items():
      signal.signal(number, old)

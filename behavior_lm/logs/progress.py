"""Says how far a long command is: one moving line, or a line now and then."""

import sys
import time
from typing import TextIO

from rich import console
from rich import status

# Seconds between lines where no terminal redraws them.
_PLAIN_EVERY = 5.0
_REDRAW_EVERY = 0.2


class Progress:
  """Prints progress to a terminal or to a file.

  Args:
    stream: where to; None is standard error.
    quiet: print nothing.
  """

  def __init__(self, stream: TextIO | None = None, *, quiet: bool = False):
    self._stream = stream or sys.stderr
    self._quiet = quiet
    self._start = time.monotonic()
    self._terminal = self._stream.isatty()
    self._every = _REDRAW_EVERY if self._terminal else _PLAIN_EVERY
    self._next = self._start + self._every
    self._status: status.Status | None = None

  @property
  def seconds(self) -> float:
    """Since this object was made."""
    return time.monotonic() - self._start

  def rows(self, count: int, file: str) -> None:
    """Tells how many rows have been read."""
    if self._due():
      rate = count / max(self.seconds, 1e-9)
      self._say(f"reading {file}: {count:,} rows, {rate:,.0f} rows/s")

  def stage(self, name: str, done: int, total: int) -> None:
    """Tells how far a later stage is."""
    if self._due():
      self._say(f"{name}: {done:,} of {total:,}")

  def close(self) -> None:
    """Ends the moving line."""
    if self._status is not None:
      self._status.stop()
      self._status = None

  def _due(self) -> bool:
    now = time.monotonic()
    if self._quiet or now < self._next:
      return False
    self._next = now + self._every
    return True

  def _say(self, text: str) -> None:
    if not self._terminal:
      print(text, file=self._stream, flush=True)
      return
    if self._status is None:
      self._status = status.Status(
          text, console=console.Console(file=self._stream)
      )
      self._status.start()
    self._status.update(text)

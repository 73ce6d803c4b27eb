"""One progress line: redrawn on a terminal, printed now and then elsewhere.

`Progress` is what the training loop uses, `CommandProgress` is for commands
that read files or work in stages, `Bar` counts sequences with the time left.
"""

import logging
import sys
import time
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.status import Status
from rich.table import Table
from rich.text import Text

# A log file wants few lines.
SECONDS_BETWEEN_LINES = 15.0
_SECONDS_BETWEEN_REDRAWS = 0.2
_BAR_WIDTH = 30


def duration(seconds: float) -> str:
  """65 -> "1:05", 3,700 -> "1:01:40"."""
  whole = int(max(seconds, 0))
  minutes, second = divmod(whole, 60)
  hours, minute = divmod(minutes, 60)
  if hours:
    return f"{hours}:{minute:02}:{second:02}"
  return f"{minute}:{second:02}"


class Progress:
  """Shows and logs the state of a run."""

  def __init__(self, total_steps: int, logger: logging.Logger) -> None:
    self._total = total_steps
    self._logger = logger
    self._console = Console()
    self._live: Live | None = None
    if self._console.is_terminal:
      self._live = Live(console=self._console, refresh_per_second=4)
      self._live.start()
    self._last_line = 0.0

  def show(self, step: int, values: dict[str, float], left: float) -> None:
    """One line for `step`: all values but the clock's; `left` in seconds."""
    line = f"step {step:,}/{self._total:,}  "
    line += "  ".join(
        f"{value:,.0f} {name.removesuffix('_per_second')}/s"
        if name.endswith("_per_second")
        else f"{name} {value:.3g}"
        for name, value in values.items()
        if name != "seconds"
    )
    line += f"  {duration(left)} left"
    self._logger.info(line)
    if self._live:
      self._live.update(Text(line))
    elif time.monotonic() - self._last_line > SECONDS_BETWEEN_LINES:
      self._last_line = time.monotonic()
      self._console.print(line, highlight=False, soft_wrap=True)

  def say(self, line: str) -> None:
    """A line that stays."""
    self._logger.info(line)
    self._console.print(line, highlight=False, soft_wrap=True)

  def close(self) -> None:
    if self._live:
      self._live.stop()


class CommandProgress:
  """Says how far a long command is: one moving line, or a line now and then.

  Args:
    stream: where it is printed; None is standard error.
    quiet: print nothing.
    every: seconds between lines where no terminal redraws them.
  """

  def __init__(
      self,
      stream: TextIO | None = None,
      *,
      quiet: bool = False,
      every: float = 5.0,
  ) -> None:
    self._stream = stream or sys.stderr
    self._quiet = quiet
    self._start = time.monotonic()
    self._terminal = self._stream.isatty()
    self._every = _SECONDS_BETWEEN_REDRAWS if self._terminal else every
    self._next = self._start + self._every
    self._status: Status | None = None

  @property
  def seconds(self) -> float:
    """Seconds since this object was made."""
    return time.monotonic() - self._start

  def rows(self, count: int, file: str) -> None:
    """Shows how many rows have been read."""
    rate = count / max(self.seconds, 1e-9)
    self.show(f"reading {file}: {count:,} rows, {rate:,.0f} rows/s")

  def stage(self, name: str, done: int, total: int) -> None:
    """Shows how many tasks of a stage are done."""
    self.show(f"{name}: {done:,} of {total:,}", done, total)

  def show(self, text: str, done: int = 0, total: int | None = None) -> None:
    """Shows `text`, on a terminal behind a bar if `total` is known."""
    now = time.monotonic()
    if self._quiet or now < self._next:
      return
    self._next = now + self._every
    if not self._terminal:
      print(text, file=self._stream, flush=True)
      return
    if self._status is None:
      self._status = Status("", console=Console(file=self._stream))
      self._status.start()
    line = Table.grid(padding=(0, 1))
    bar = [] if total is None else [ProgressBar(total, done, _BAR_WIDTH)]
    line.add_row(*bar, Text(text))
    self._status.update(line)

  def close(self) -> None:
    """Ends the moving line."""
    if self._status is not None:
      self._status.stop()
      self._status = None


class Bar:
  """Counts embedded sequences and events, and says how long the rest takes.

  Args:
    total: sequences in all; None if that is unknown.
    shown: False counts in silence.
  """

  def __init__(self, total: int | None, *, shown: bool = True) -> None:
    self.rows = 0
    self.events = 0
    self._total = total
    self._line = CommandProgress(quiet=not shown, every=SECONDS_BETWEEN_LINES)

  @property
  def seconds(self) -> float:
    """Seconds since this object was made."""
    return self._line.seconds

  def add(self, events: int, rows: int = 1) -> None:
    """Counts sequences (`rows`) and events that have been embedded."""
    self.rows += rows
    self.events += events
    self._line.show(f"embedding: {self._text()}", self.rows, self._total)

  def close(self) -> None:
    """Ends the moving line."""
    self._line.close()

  def _text(self) -> str:
    seconds = max(self.seconds, 1e-9)
    done = f"{self.rows:,}"
    left = ""
    if self._total is not None:
      done += f" of {self._total:,}"
      if self.rows:
        remaining = (self._total - self.rows) * seconds / self.rows
        left = f", {duration(remaining)} left"
    return (
        f"{done} sequences, {self.rows / seconds:,.1f} sequences/s,"
        f" {self.events / seconds:,.0f} events/s{left}"
    )

"""How far an embedding is: a bar on a terminal, elsewhere a line at times."""

import sys
import time
from typing import Any

from behavior_lm.common.progress import duration
from behavior_lm.common.progress import SECONDS_BETWEEN_LINES


class Bar:
  """Counts sequences and events on standard error.

  Args:
    total: sequences in all; None when nobody knows.
    shown: False counts in silence.
  """

  def __init__(self, total: int | None, *, shown: bool = True) -> None:
    self.rows = 0
    self.events = 0
    self._total = total
    self._start = time.monotonic()
    self._last_line = self._start
    self._shown = shown
    self._rich: Any = None
    if shown and sys.stderr.isatty():
      # Imported here: most calls show nothing and need not wait.
      from rich import console
      from rich import progress

      self._rich = progress.Progress(
          progress.TextColumn("embedding"),
          progress.BarColumn(),
          progress.TextColumn("{task.fields[text]}"),
          console=console.Console(stderr=True),
          transient=True,
      )
      self._rich.start()
      self._task = self._rich.add_task("", total=total, text="")

  @property
  def seconds(self) -> float:
    return time.monotonic() - self._start

  def add(self, events: int, rows: int = 1) -> None:
    """Counts what has been embedded."""
    self.rows += rows
    self.events += events
    if self._rich:
      self._rich.update(self._task, completed=self.rows, text=self._text())
    elif self._shown:
      now = time.monotonic()
      if now - self._last_line > SECONDS_BETWEEN_LINES:
        self._last_line = now
        print(f"embedding: {self._text()}", file=sys.stderr, flush=True)

  def close(self) -> None:
    if self._rich:
      self._rich.stop()

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

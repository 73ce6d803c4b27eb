"""One progress line: redrawn on a terminal, printed now and then elsewhere."""

import logging
import time

from rich.console import Console
from rich.live import Live
from rich.text import Text

# A log file wants few lines.
SECONDS_BETWEEN_LINES = 15.0


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

"""Ctrl-C and SIGTERM ask a run to stop at the end of its step."""

import signal
import threading
from types import FrameType
from types import TracebackType


class Interrupt:
  """Context in which SIGINT and SIGTERM only set `requested`.

  A second Ctrl-C is not caught: whoever presses twice wants out now.
  """

  def __init__(self) -> None:
    self.requested = ""
    self._previous: dict[int, object] = {}

  def __enter__(self) -> "Interrupt":
    # Python allows signal handlers in the main thread alone (notebooks run
    # elsewhere); there, nothing is caught and nothing is lost.
    if threading.current_thread() is threading.main_thread():
      for number in (signal.SIGINT, signal.SIGTERM):
        self._previous[number] = signal.signal(number, self._handle)
    return self

  def __exit__(
      self,
      kind: type[BaseException] | None,
      error: BaseException | None,
      trace: TracebackType | None,
  ) -> None:
    for number, handler in self._previous.items():
      signal.signal(number, handler)  # type: ignore[arg-type]

  def _handle(self, number: int, frame: FrameType | None) -> None:
    del frame
    if self.requested and number == signal.SIGINT:
      raise KeyboardInterrupt
    self.requested = signal.Signals(number).name

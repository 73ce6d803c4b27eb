"""Keeps the traces of Orbax' threads from a person's screen.

Where a disk refuses a write, or a file is damaged, Orbax raises the first
error, and `common.errors` makes one line of it. Beside that, each thread of
Orbax logs the same error with its trace, and the writes that were still on
their way find the event loop of their thread closed.
"""

import logging
import sys
import types
from typing import Any

_PACKAGES = ("/orbax/", "/asyncio/")
_installed = False


def hide_traces() -> None:
  """Stops the threads of Orbax from logging traces in this process."""
  global _installed
  if _installed:
    return
  _installed = True
  logging.getLogger("absl").addFilter(_is_told_nowhere_else)
  # Of a write that the disk refuses, asyncio would print a trace of each error
  # but the first.
  logging.getLogger("asyncio").setLevel(logging.CRITICAL)
  before = sys.unraisablehook

  def hook(unraisable: Any) -> None:
    if not is_of_orbax(unraisable.exc_traceback):
      before(unraisable)

  sys.unraisablehook = hook


def _is_told_nowhere_else(record: logging.LogRecord) -> bool:
  """Whether a log record is anything but the trace of an error of Orbax."""
  return not (record.exc_info and _PACKAGES[0] in record.pathname)


def is_of_orbax(trace: types.TracebackType | None) -> bool:
  """Whether every frame of a trace is of Orbax or asyncio."""
  if trace is None:
    return False
  while trace is not None:
    name = trace.tb_frame.f_code.co_filename.replace("\\", "/")
    if not any(package in name for package in _PACKAGES):
      return False
    trace = trace.tb_next
  return True

"""Keeps freed memory in the process, for programs that need it again at once.

XLA's CPU backend frees a program's work space after each call. glibc gives
large pieces back to the system, which hands them out again page by page, each
filled with zeros: 230,000 page faults in a training step with 900 MB of work
space. Kept, a step of a BERT (8 x 512 tokens, 4 layers of 256) took 772 ms
instead of 923, side by side on two cores.
"""

import ctypes
import os
import platform

# Name in the environment -> (number in glibc's malloc.h, value).
_SETTINGS = {
    "MALLOC_ARENA_MAX": (-8, 1),
    "MALLOC_MMAP_MAX_": (-4, 0),
    # Never: 2 GB, the largest number that fits, is less than the work space of
    # a row of 16,384 tokens.
    "MALLOC_TRIM_THRESHOLD_": (-1, -1),
    "MALLOC_TOP_PAD_": (-2, 2**28),
}
# Set to 0 by those who have less memory than time.
OFF = "BEHAVIOR_LM_KEEP_MEMORY"


def keep_freed_memory() -> bool:
  """Lets this process keep what it frees.

  For the commands that train or embed; to be called before other threads
  start, as memory is kept in one heap for all of them. The process holds its
  highest use until it ends, and two or three times the work space of a step if
  that is large: something small comes to lie in the first one, which is too
  short then. A training step of 8,192 tokens: 3.4 GB instead of 2.1.

  Returns:
    whether memory is kept: glibc can, other C libraries are left as they are;
    not if the environment has `OFF` set to 0.
  """
  if platform.libc_ver()[0] != "glibc" or _is_off():
    return False
  mallopt = ctypes.CDLL(None).mallopt
  return all(
      mallopt(number, value) == 1 for number, value in _SETTINGS.values()
  )


def environment() -> dict[str, str]:
  """The same for a program that is started, whatever it is; empty if off."""
  if _is_off():
    return {}
  # glibc reads numbers without a sign there.
  return {name: str(value % 2**64) for name, (_, value) in _SETTINGS.items()}


def _is_off() -> bool:
  return os.environ.get(OFF) == "0"

import os
import platform
import subprocess
import sys

import pytest

from behavior_lm.common.host_memory import environment
from behavior_lm.common.host_memory import keep_freed_memory

# Page faults of ten times 64 MB, taken, filled and freed.
PROGRAM = """
import resource, sys
from behavior_lm.common.host_memory import keep_freed_memory
if sys.argv[1] == "keep":
  assert keep_freed_memory()
size = int(sys.argv[2])  # or Python would fold the product
def faults():
  return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
b"x" * size
before = faults()
for _ in range(10):
  b"x" * size
print(faults() - before)
"""


def page_faults(word, size=2**26, env=None):
  command = [sys.executable, "-c", PROGRAM, word, str(size)]
  done = subprocess.run(
      command, capture_output=True, text=True, check=True, env=env
  )
  return int(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc can keep memory"
)
def test_kept_memory_is_not_asked_for_again():
  pages = 10 * 2**26 / 4096
  assert page_faults("leave") > pages / 2
  assert page_faults("keep") < pages / 100


@pytest.mark.slow
@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc can keep memory"
)
def test_more_than_two_gigabytes_are_kept_too():
  size = 2**31 + 2**27
  pages = 10 * size / 4096
  assert page_faults("keep", size) < pages / 100
  # And so by a program that is told by its environment.
  assert page_faults("leave", size, os.environ | environment()) < pages / 100


def test_the_environment_can_switch_it_off(monkeypatch):
  assert environment()["MALLOC_ARENA_MAX"] == "1"
  monkeypatch.setenv("BEHAVIOR_LM_KEEP_MEMORY", "0")
  assert keep_freed_memory() is False
  assert environment() == {}


def test_another_c_library_is_left_alone(monkeypatch):
  monkeypatch.setattr(platform, "libc_ver", lambda: ("musl", "1.2"))
  assert keep_freed_memory() is False

"""What all tests share: the environment, the real logs, hypothesis."""

import os
from pathlib import Path

# Before anything starts jax. Programs for several fake devices deadlocked on
# two cores with fewer threads; subprocesses of the tests inherit it.
os.environ.setdefault("PJRT_NPROC", "16")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

from hypothesis import HealthCheck
from hypothesis import settings
import pytest

REPO = Path(__file__).resolve().parents[1]

# Two busy cores make any time limit of an example a coin toss.
_COMMON = dict(
    deadline=None,
    max_examples=25,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("local", **_COMMON)
settings.register_profile("ci", derandomize=True, **_COMMON)
settings.load_profile("ci" if os.environ.get("CI") else "local")


def _data_root() -> Path:
  default = REPO.parent / "shared" / "data"
  return Path(os.environ.get("BEHAVIOR_LM_DATA") or default).resolve()


def _skip_without_data():
  if not _data_root().is_dir():
    pytest.skip("no real logs: set BEHAVIOR_LM_DATA to their folder")


def pytest_runtest_setup(item):
  if item.get_closest_marker("realdata"):
    _skip_without_data()


@pytest.fixture(scope="session")
def data_root() -> Path:
  """The folder of real logs; without one, the test is skipped."""
  _skip_without_data()
  return _data_root()

"""What all tests share: the environment, the real logs, hypothesis."""

import os
from pathlib import Path
import shutil

# Before anything starts jax. Programs for several fake devices deadlocked on
# two cores with fewer threads; subprocesses of the tests inherit it.
os.environ.setdefault("PJRT_NPROC", "16")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most of the time goes into compiling programs that another test, worker, run
# or subprocess has compiled too. `make clean` removes the folder.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
  _programs = Path(__file__).parents[1] / ".pytest_cache" / "programs"
  _programs.mkdir(parents=True, exist_ok=True)
  if sum(path.stat().st_size for path in _programs.iterdir()) > 4 << 30:
    shutil.rmtree(_programs)
  os.environ["JAX_COMPILATION_CACHE_DIR"] = str(_programs)
  os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
  os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

# Tiny programs run once or twice: compiling them well costs more than they do.
# Programs whose numbers or speed are the point say so in their own process.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0"
    " --xla_llvm_disable_expensive_passes=true",
)

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


@pytest.fixture(scope="session")
def dataset_path(tmp_path_factory) -> Path:
  """One small prepared dataset for all tests of a session."""
  from tests.tiny import tiny_dataset

  return tiny_dataset(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def shop_path(tmp_path_factory) -> Path:
  """One small prepared shop for all tests of a session."""
  from behavior_lm.synthetic.datasets import make_dataset

  folder = tmp_path_factory.mktemp("shop") / "dataset"
  return make_dataset(
      "shop", folder, num_users=60, num_items=50, num_categories=8
  )

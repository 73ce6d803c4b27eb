"""A refused write is one error; traces of other code stay."""

import logging
import subprocess
import sys
import types

import pytest

from behavior_lm.training.orbax_traces import hide_traces
from behavior_lm.training.orbax_traces import is_of_orbax

_REFUSED = """
import resource, sys
import jax, jax.numpy as jnp
from behavior_lm.training.checkpoint import Checkpoints
checkpoints = Checkpoints(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
params = {f"a{i}": jax.random.normal(jax.random.key(i), (99, 99))
          for i in range(9)}
state = {"params": params, "model_state": {}, "opt_state": params,
         "objective_state": {}, "step": jnp.asarray(1)}
try:
  checkpoints.save(state, {}, {})
  checkpoints.wait()
except (ValueError, OSError) as error:
  print("refused")
"""


@pytest.mark.slow
def test_a_refused_checkpoint_prints_no_traces(tmp_path):
  done = subprocess.run(
      [sys.executable, "-c", _REFUSED, str(tmp_path / "checkpoints")],
      capture_output=True, text=True,
  )  # fmt: skip
  assert done.stdout.strip() == "refused"
  assert "Traceback" not in done.stderr


def _fail():
  raise RuntimeError("closed")


def _raised_in(path):
  """An error whose trace is of one file."""
  code = _fail.__code__.replace(co_filename=path)
  try:
    types.FunctionType(code, {})()
  except RuntimeError as error:
    return error.with_traceback(error.__traceback__.tb_next)


@pytest.mark.parametrize(
    ("path", "theirs"),
    [
        ("/lib/asyncio/base_events.py", True),
        ("/lib/orbax/checkpoint/a.py", True),
        ("/home/me/train.py", False),
    ],
)
def test_a_trace_of_other_code_is_not_taken_for_theirs(path, theirs):
  trace = _raised_in(path).__traceback__
  assert is_of_orbax(trace) == theirs
  assert not is_of_orbax(None)


@pytest.mark.parametrize(
    ("path", "traced", "shown"),
    [("/lib/orbax/a.py", True, False), ("/lib/orbax/a.py", False, True),
     ("/home/me/train.py", True, True)],
)  # fmt: skip
def test_only_traces_of_orbax_are_taken_from_the_log(path, traced, shown):
  hide_traces()
  trace = (RuntimeError, RuntimeError("x"), None) if traced else None
  record = logging.LogRecord(
      "absl", logging.ERROR, path, 1, "failed", (), trace
  )
  assert bool(logging.getLogger("absl").filter(record)) == shown

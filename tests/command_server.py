"""Runs commands and notebooks in copies of a process with the large imports.

Importing jax and its libraries takes seconds, and a test of a command that
refuses its flags does nothing else. Of each environment one server is started;
it forks a child per command, which runs it as `python SCRIPT` would, or the
cells of a notebook as a kernel would. Tests about imports start processes of
their own.
"""

import atexit
import functools
import gc
import importlib
import json
import os
from pathlib import Path
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings

REPO = Path(__file__).resolve().parents[1]
# With what they import. None of them starts a thread that a child would miss,
# or looks for devices.
_PRELOADED = (
    "IPython.core.interactiveshell",
    "behavior_lm.downstream.run",
    "behavior_lm.inference.embedder",
    "behavior_lm.logs.ingest",
    "behavior_lm.recipes.evaluate",
    "behavior_lm.recipes.train",
    "behavior_lm.reporting.writer",
    "matplotlib.pyplot",
    "ml_collections.config_flags",
    "nbformat",
    "scipy.stats",
    "sklearn.decomposition",
    "tensorflow_datasets",
)


def environment(**more):
  """The variables of a command: this checkout's modules, a wide terminal."""
  return os.environ | {"PYTHONPATH": str(REPO), "COLUMNS": "120"} | more


@functools.cache
def _server(environment: tuple[tuple[str, str], ...]) -> subprocess.Popen:
  return subprocess.Popen(
      [sys.executable, __file__],
      env=dict(environment),
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
  )


def run(script, *arguments, cwd=REPO, env=None, timeout=300, send=None):
  """What `python SCRIPT ARGUMENTS` ends with, a subprocess.CompletedProcess.

  Of a command that a signal ends, `returncode` is minus its number.

  Args:
    script: path from the checkout's root, of a script or a notebook.
    *arguments: of the command line.
    cwd: the folder that it runs in.
    env: all of its variables; None is those of this process, and this
      checkout's modules.
    timeout: seconds after which it is killed.
    send: (signal number, path, count): the signal is sent once the file has so
      many lines, or the folder so many files.
  """
  # Each environment is another server, so the tests share one.
  env = environment() if env is None else env
  # Which test runs is no reason for another server.
  env = {key: env[key] for key in sorted(env) if key != "PYTEST_CURRENT_TEST"}
  server = _server(tuple(env.items()))
  argv = [str(REPO / script), *map(str, arguments)]
  with tempfile.TemporaryDirectory() as folder:
    out, error = Path(folder, "out"), Path(folder, "error")
    request = dict(
        argv=argv,
        cwd=str(cwd),
        out=str(out),
        error=str(error),
        timeout=timeout,
        send=send and (int(send[0]), str(send[1]), send[2]),
    )
    server.stdin.write(json.dumps(request) + "\n")
    server.stdin.flush()
    status = int(server.stdout.readline())
    return subprocess.CompletedProcess(
        argv, status, out.read_text(), error.read_text()
    )


def _wait(child: int, timeout: float, send) -> int:
  deadline = time.monotonic() + timeout
  while time.monotonic() < deadline:
    done, status = os.waitpid(child, os.WNOHANG)
    if done:
      return os.waitstatus_to_exitcode(status)
    if send and _size(Path(send[1])) >= send[2]:
      os.kill(child, send[0])
      send = None
    time.sleep(0.01)
  os.kill(child, signal.SIGKILL)
  return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _size(path: Path) -> int:
  """Lines of a file, or files of a folder."""
  if path.is_dir():
    return len(list(path.iterdir()))
  return path.read_text().count("\n") if path.exists() else 0


def _become(request) -> None:
  """Runs the command in this process, which is a child."""
  # A shell starts background jobs without it, and with them the tests.
  signal.signal(signal.SIGINT, signal.default_int_handler)
  os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
  for number, name in ((1, "out"), (2, "error")):
    os.dup2(os.open(request[name], os.O_WRONLY | os.O_CREAT), number)
  os.chdir(request["cwd"])
  sys.argv = request["argv"]
  sys.path[0] = str(Path(sys.argv[0]).parent)
  status = 0
  try:
    if sys.argv[0].endswith(".ipynb"):
      _run_notebook(sys.argv[0])
    else:
      runpy.run_path(sys.argv[0], run_name="__main__")
  except SystemExit as end:
    status = end.code if isinstance(end.code, int) else int(bool(end.code))
    if not isinstance(end.code, int | None):
      print(end.code, file=sys.stderr)
  except BaseException:
    traceback.print_exc()
    status = 1
  # As the interpreter ends, but for taking all modules apart, which takes
  # longer than most of these commands.
  threading._shutdown()
  atexit._run_exitfuncs()
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(status)


def _run_notebook(path: str) -> None:
  """Raises the first error of a cell; prints what each cell took."""
  from IPython.core.interactiveshell import InteractiveShell
  import nbformat

  class Shell(InteractiveShell):
    def enable_gui(self, gui=None):
      """There is no window."""

  shell = Shell.instance()
  shell.history_manager.enabled = False
  # As in a kernel: a figure is drawn when the cell that made it ends.
  shell.enable_matplotlib("inline")
  for number, cell in enumerate(nbformat.read(path, as_version=4).cells):
    if cell.cell_type == "code":
      start = time.process_time()
      shell.run_cell(cell.source, store_history=True).raise_error()
      spent = time.process_time() - start
      print(f"cell {number}: {spent:.1f} s of CPU", flush=True)


def _serve() -> None:
  warnings.filterwarnings("ignore", ".*use of fork", DeprecationWarning)
  for name in _PRELOADED:
    importlib.import_module(name)
  gc.freeze()
  for line in sys.stdin:
    request = json.loads(line)
    child = os.fork()
    if not child:
      _become(request)
    print(_wait(child, request["timeout"], request["send"]), flush=True)


if __name__ == "__main__":
  _serve()

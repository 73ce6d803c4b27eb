"""Runs the cells of a notebook with IPython in this process, figures too.

  python tests/run_notebook.py NOTEBOOK

A kernel would do the same in a process of its own, which imports everything
anew. Started by tests/command_server.py, this one has done that.
"""

import sys
import time

from IPython.core.interactiveshell import InteractiveShell
import nbformat


class Shell(InteractiveShell):
  """What a kernel runs cells in, without a window to show figures in."""

  def enable_gui(self, gui=None):
    pass


def run(path: str) -> None:
  """Raises the first error of a cell."""
  notebook = nbformat.read(path, as_version=4)
  shell = Shell.instance()
  shell.history_manager.enabled = False
  # As in a kernel: a figure is drawn when the cell that made it ends.
  shell.enable_matplotlib("inline")
  for number, cell in enumerate(notebook.cells):
    if cell.cell_type == "code":
      start = time.process_time()
      shell.run_cell(cell.source, store_history=True).raise_error()
      spent = time.process_time() - start
      print(f"cell {number}: {spent:.1f} s of CPU", flush=True)


if __name__ == "__main__":
  run(sys.argv[1])

"""Every notebook runs from top to bottom, and is kept without its outputs."""

from pathlib import Path
import subprocess

import nbclient
import nbformat
import pytest

from tests import command_server

REPO = Path(__file__).resolve().parents[1]
COLABS = REPO / "colabs"
NOTEBOOKS = sorted(COLABS.glob("*.ipynb"))
SECONDS = 1_200
MOST_CELLS = 24

every_notebook = pytest.mark.parametrize(
    "path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS]
)


def read(path: Path) -> nbformat.NotebookNode:
  notebook = nbformat.read(path, as_version=4)
  nbformat.validate(notebook)
  return notebook


def codes(notebook: nbformat.NotebookNode) -> list[str]:
  return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def left_behind(notebook: nbformat.NotebookNode) -> list[int]:
  """Numbers of the code cells that hold an output or an execution count."""
  return [
      number
      for number, cell in enumerate(notebook.cells)
      if cell.cell_type == "code" and (cell.outputs or cell.execution_count)
  ]


def test_there_is_a_notebook():
  assert NOTEBOOKS, "colabs/ holds no notebook"


@every_notebook
def test_a_notebook_is_kept_without_outputs(path):
  cells = left_behind(read(path))
  assert not cells, f"{path.name}: clear the outputs of cells {cells}"


@every_notebook
def test_a_notebook_is_short_and_names_what_is_to_be_read_next(path):
  cells = read(path).cells
  assert len(cells) <= MOST_CELLS
  first, last = cells[0], cells[-1]
  assert first.cell_type == "markdown" and first.source.startswith("# ")
  assert last.cell_type == "markdown" and "docs/" in last.source


def test_all_notebooks_find_the_code_in_the_same_way():
  assert len({codes(read(path))[0] for path in NOTEBOOKS}) == 1


def test_the_pages_that_notebooks_name_are_there():
  for path in NOTEBOOKS:
    text = " ".join(cell.source for cell in read(path).cells)
    for word in text.replace("`", " ").replace("(", " ").split():
      name = word.strip(".,;:)")
      if name.startswith(("docs/", "experiments/")) and "." in name:
        assert list(REPO.glob(name)), f"{path.name}: no {name}"
      if name.endswith(".ipynb"):
        assert (COLABS / name).exists(), f"{path.name}: no {name}"


def test_outputs_are_found():
  code = nbformat.v4.new_code_cell
  clean, counted = code("1"), code("1", execution_count=1)
  shown = code("1", outputs=[nbformat.v4.new_output("stream", text="1")])
  notebook = nbformat.v4.new_notebook(cells=[clean, counted, clean, shown])
  assert left_behind(notebook) == [1, 3]


def run(path: Path, cwd: Path = REPO) -> subprocess.CompletedProcess:
  """Runs all cells in a copy of a process that has imported what they need."""
  return command_server.run(path, cwd=cwd, timeout=SECONDS)


def run_cells(folder: Path, *sources: str) -> subprocess.CompletedProcess:
  """Runs a notebook of these code cells in a folder."""
  cells = [nbformat.v4.new_code_cell(source) for source in sources]
  path = folder / "cells.ipynb"
  nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
  return run(path, folder)


@pytest.mark.slow
@every_notebook
def test_a_notebook_runs(path):
  done = run(path)
  assert done.returncode == 0, done.stdout[-2_000:] + done.stderr


@pytest.mark.slow
def test_a_failing_notebook_fails(tmp_path):
  done = run_cells(tmp_path, "import behavior_lm", "assert False, 'reason'")
  assert done.returncode == 1 and "reason" in done.stderr


@pytest.mark.slow
def test_code_is_fetched_where_there_is_none(tmp_path):
  setup = codes(read(NOTEBOOKS[0]))[0]
  done = run_cells(tmp_path, setup)
  assert done.returncode == 1 and "set REPOSITORY" in done.stderr
  source = tmp_path / "source"
  (source / "configs").mkdir(parents=True)
  (source / "configs" / "only_here.py").touch()
  git = ("git", "-C", source, "-c", "user.name=a", "-c", "user.email=a@b.c")
  for command in (
      ("init", "-q"), ("add", "."), ("commit", "-q", "-m", "Add a file")
  ):
    subprocess.run((*git, *command), check=True)
  address = f"REPOSITORY = 'file://{source}'"
  setup = setup.replace('REPOSITORY = ""', address)
  done = run_cells(
      tmp_path, setup, f"assert {str(tmp_path / 'checkout')!r} == sys.path[0]"
  )
  assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_kernel_runs_the_first_cell_and_draws_figures():
  sources = (
      codes(read(NOTEBOOKS[0]))[0],
      "import configs.pretrain\nimport matplotlib.pyplot as plt\nplt.plot([1])",
  )
  cells = [nbformat.v4.new_code_cell(source) for source in sources]
  notebook = nbformat.v4.new_notebook(cells=cells)
  nbclient.NotebookClient(
      notebook,
      timeout=SECONDS,
      kernel_name="python3",
      resources={"metadata": {"path": str(COLABS)}},
  ).execute()
  drawn = [output for output in cells[1].outputs if "data" in output]
  assert any("image/png" in output.data for output in drawn)

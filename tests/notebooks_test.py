"""Every notebook runs from top to bottom, and is kept without its outputs."""

from pathlib import Path

import nbclient
import nbformat
import pytest

REPO = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((REPO / "colabs").glob("*.ipynb"))
CELL_SECONDS = 600

every_notebook = pytest.mark.parametrize(
    "path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS]
)


def read(path: Path) -> nbformat.NotebookNode:
  notebook = nbformat.read(path, as_version=4)
  nbformat.validate(notebook)
  return notebook


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


def test_outputs_are_found():
  code = nbformat.v4.new_code_cell
  clean, counted = code("1"), code("1", execution_count=1)
  shown = code("1", outputs=[nbformat.v4.new_output("stream", text="1")])
  notebook = nbformat.v4.new_notebook(cells=[clean, counted, clean, shown])
  assert left_behind(notebook) == [1, 3]


def run(notebook: nbformat.NotebookNode) -> None:
  """Executes all cells in the repository's root; raises at the first error."""
  nbclient.NotebookClient(
      notebook,
      timeout=CELL_SECONDS,
      kernel_name="python3",
      resources={"metadata": {"path": str(REPO)}},
  ).execute()


@pytest.mark.slow
@every_notebook
def test_a_notebook_runs(path):
  run(read(path))


@pytest.mark.slow
def test_a_failing_notebook_fails():
  cell = nbformat.v4.new_code_cell("import behavior_lm\nassert False, 'reason'")
  notebook = nbformat.v4.new_notebook(cells=[cell])
  with pytest.raises(nbclient.exceptions.CellExecutionError, match="reason"):
    run(notebook)

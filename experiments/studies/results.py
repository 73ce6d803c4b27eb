"""The files of a result: NAME.json, NAME.md and others, each one whole."""

from collections.abc import Mapping
import json
from pathlib import Path
from typing import Any, TYPE_CHECKING

from behavior_lm.common.errors import UserError
from behavior_lm.common.files import whole_file
from behavior_lm.common.files import write_whole

if TYPE_CHECKING:
  # Only its type: commands that show their help need not wait for it.
  from matplotlib.figure import Figure


def checked_out(text: str) -> Path:
  """The path that --out gives.

  Raises:
    UserError: if its folder does not exist.
  """
  out = Path(text)
  if not out.parent.is_dir():
    raise UserError(f"--out {out}: there is no folder {out.parent}.")
  return out


def beside(out: Path, ending: str) -> Path:
  """`out` with an ending added, whatever dots its name has."""
  return out.with_name(out.name + ending)


def write_result(
    out: Path,
    result: Mapping[str, Any],
    page: str,
    others: Mapping[str, str | bytes] | None = None,
) -> None:
  """Writes `result` and its page; prints the names of all files.

  Args:
    out: the files without their endings .json and .md; its folder is made.
    result: JSON.
    page: Markdown.
    others: further files by the rest of their names: ".tex", "_train.png".
  """
  out.parent.mkdir(parents=True, exist_ok=True)
  files: dict[str, str | bytes] = {
      ".json": json.dumps(result, indent=1) + "\n",
      ".md": page,
      **(others or {}),
  }
  for ending, content in files.items():
    write_whole(beside(out, ending), content)
  names = ", ".join(str(beside(out, ending)) for ending in files)
  print(f"written: {names}", flush=True)


def save_figure(figure: "Figure", path: Path, dpi: int) -> None:
  """Writes a figure as a PNG, whole or not at all."""
  with whole_file(path) as temporary:
    figure.savefig(temporary, format="png", dpi=dpi)

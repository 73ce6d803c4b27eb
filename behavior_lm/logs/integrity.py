"""Says whether the files of a dataset folder are those that were written."""

from collections.abc import Callable
import json
import pathlib
from typing import Any

from behavior_lm.common.errors import UserError
from behavior_lm.common.files import sha256
from behavior_lm.logs import checksum

AGAIN = "Run experiments/prepare.py again."
# In dataset.json: the hash of everything else in it.
SELF_HASH = "self_hash"


def describe_files(
    folder: pathlib.Path,
    known: dict[str, str] | None = None,
    is_kept: Callable[[str], bool] = lambda name: True,
) -> dict[str, dict[str, Any]]:
  """Size and SHA-256 of every file below a folder.

  Args:
    folder: the folder.
    known: hashes that are known already, by the file's name in `folder`.
    is_kept: says by its name whether a file counts.

  Returns:
    {name: {"bytes", "sha256"}}.
  """
  known = known or {}
  found = {}
  for path in sorted(folder.rglob("*")):
    name = path.relative_to(folder).as_posix()
    if path.is_file() and is_kept(name):
      found[name] = {
          "bytes": path.stat().st_size,
          "sha256": known.get(name) or sha256(path),
      }
  return found


def self_hash(meta: dict[str, Any]) -> str:
  """SHA-256 of a description without the field of that name, as text."""
  rest = {key: value for key, value in meta.items() if key != SELF_HASH}
  text = json.dumps(rest, sort_keys=True)
  return checksum.to_hex(checksum.text_hash(text))


def check_size(folder: pathlib.Path, name: str, recorded: dict) -> None:
  """Raises UserError if a file is missing, cut off or longer."""
  file, size = folder / name, recorded["bytes"]
  if not file.is_file():
    raise UserError(f"{file}: missing. The dataset is damaged. {AGAIN}")
  found = file.stat().st_size
  if found != size:
    raise UserError(
        f"{file}: has {found:,} bytes instead of {size:,}. The dataset is"
        f" damaged. {AGAIN}"
    )


def check_file(folder: pathlib.Path, name: str, recorded: dict) -> None:
  """Raises UserError unless a file is byte for byte what was written."""
  check_size(folder, name, recorded)
  if sha256(folder / name) != recorded["sha256"]:
    raise UserError(
        f"{folder / name}: its bytes have changed since it was written"
        f" (another SHA-256). The dataset is damaged. {AGAIN}"
    )

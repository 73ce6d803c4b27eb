"""Says whether the files of a dataset folder are those that were written."""

from collections.abc import Callable
import hashlib
import json
import pathlib
from typing import Any

from behavior_lm.common.errors import UserError
from behavior_lm.common.files import sha256
from behavior_lm.logs import checksum

AGAIN = "Run experiments/prepare.py again."
# In dataset.json: the hash of everything else in it.
SELF_HASH = "self_hash"
# In dataset.json, of a file: the hash of so many blocks of so many bytes.
SAMPLE = "sample"
_BLOCKS, _BLOCK_BYTES = 16, 4_096


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
    {name: {"bytes", "sha256", "sample"}}.
  """
  known = known or {}
  found = {}
  for path in sorted(folder.rglob("*")):
    name = path.relative_to(folder).as_posix()
    if path.is_file() and is_kept(name):
      found[name] = {
          "bytes": path.stat().st_size,
          "sha256": known.get(name) or sha256(path),
          SAMPLE: sample_sha256(path),
      }
  return found


def self_hash(meta: dict[str, Any]) -> str:
  """SHA-256 of a description without the field of that name, as text."""
  rest = {key: value for key, value in meta.items() if key != SELF_HASH}
  text = json.dumps(rest, sort_keys=True)
  return checksum.to_hex(checksum.text_hash(text))


def sample_sha256(path: pathlib.Path) -> str:
  """SHA-256 of blocks that are spread evenly over a file, hexadecimal.

  It tells two files of one size apart, if not in every place, without reading
  a large one whole.
  """
  digest = hashlib.sha256()
  last = max(path.stat().st_size - _BLOCK_BYTES, 0)
  with path.open("rb") as file:
    for block in range(_BLOCKS):
      file.seek(last * block // (_BLOCKS - 1))
      digest.update(file.read(_BLOCK_BYTES))
  return digest.hexdigest()


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


def check_sample(folder: pathlib.Path, name: str, recorded: dict) -> None:
  """Raises UserError if a file is of another size, or clearly another one.

  Datasets of older versions have no samples; of them the size is compared.
  """
  check_size(folder, name, recorded)
  if SAMPLE in recorded and sample_sha256(folder / name) != recorded[SAMPLE]:
    raise _changed(folder / name)


def check_file(folder: pathlib.Path, name: str, recorded: dict) -> None:
  """Raises UserError unless a file is byte for byte what was written."""
  check_size(folder, name, recorded)
  if sha256(folder / name) != recorded["sha256"]:
    raise _changed(folder / name)


def _changed(file: pathlib.Path) -> UserError:
  return UserError(
      f"{file}: its bytes have changed since it was written (another SHA-256)."
      f" The dataset is damaged. {AGAIN}"
  )

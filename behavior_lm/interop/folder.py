"""Folders of config.json and *.safetensors: read with checks, written whole.

Pickled weights are never opened: a pickle runs whatever its author wrote.
"""

from collections.abc import Iterator, Mapping
import contextlib
import json
from pathlib import Path
import shutil
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors import SafetensorError
from safetensors.numpy import save_file

from behavior_lm.artifacts.json_files import read_object
from behavior_lm.common.errors import UserError

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
# Where weights lie in several files: {"weight_map": {tensor: file}}.
INDEX = "model.safetensors.index.json"


def read_folder(
    folder: str | Path,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
  """Reads config and weights, in one file or in several behind an index.

  Args:
    folder: as transformers' `save_pretrained` writes it.

  Returns:
    The content of config.json, and {name: tensor} in the types of the files.

  Raises:
    UserError: if the folder, a file of it or a tensor is missing, damaged, or
      lies elsewhere than in the folder.
  """
  folder = Path(folder)
  if not folder.is_dir():
    raise UserError(f"{folder}: no such folder.")
  config = _read_object(folder / CONFIG)
  if (folder / INDEX).exists():
    return config, _read_shards(folder)
  if not (folder / WEIGHTS).exists():
    pickled = sorted(path.name for path in folder.glob("*.bin"))
    has = f"; it has {', '.join(pickled)}, which is" if pickled else ","
    reason = " a pickle and never opened" if pickled else " nor an index of it"
    raise UserError(
        f"{folder}: no {WEIGHTS}{has}{reason}. Save the model with"
        " save_pretrained(folder, safe_serialization=True)."
    )
  return config, _read_tensors(folder / WEIGHTS)


def write_folder(
    folder: str | Path,
    config: Mapping[str, Any],
    tensors: Mapping[str, np.ndarray],
) -> None:
  """Writes config.json and one model.safetensors; all of it or nothing.

  Raises:
    UserError: if `folder` exists and is not an empty folder.
  """
  with new_folder(folder) as building:
    whole = {name: np.ascontiguousarray(tensors[name]) for name in tensors}
    # transformers asks for this word before it reads.
    save_file(whole, building / WEIGHTS, metadata={"format": "pt"})
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    (building / CONFIG).write_text(text)


@contextlib.contextmanager
def new_folder(folder: str | Path) -> Iterator[Path]:
  """A folder to fill, which gets its name when the block ends well.

  Raises:
    UserError: if `folder` exists and is not an empty folder.
  """
  folder = Path(folder)
  if folder.exists() and not folder.is_dir():
    raise UserError(f"{folder} is a file; give a folder.")
  if folder.exists() and any(folder.iterdir()):
    raise UserError(f"{folder} is not empty; give a new folder.")
  building = folder.with_name(folder.name + ".building")
  if building.exists():
    raise UserError(
        f"{building} is left from a run that was stopped, or of one that"
        " still goes on. Delete it."
    )
  building.mkdir(parents=True)
  try:
    yield building
    building.replace(folder)
  except BaseException:
    shutil.rmtree(building, ignore_errors=True)
    raise


def _read_shards(folder: Path) -> dict[str, np.ndarray]:
  index = folder / INDEX
  places = _read_object(index).get("weight_map")
  if not isinstance(places, dict) or not places:
    raise UserError(f"{index}: has no weight_map {{tensor: file}}.")
  for tensor, name in places.items():
    # A plain name: nothing else in a folder from elsewhere may choose which
    # file is opened.
    plain = isinstance(name, str) and Path(name).name == name
    if not plain or "\\" in name or not name.endswith(".safetensors"):
      raise UserError(
          f"{index}: {tensor} is said to lie in {name!r}, which is no"
          " .safetensors file of this folder."
      )
  found: dict[str, np.ndarray] = {}
  problems = []
  for name in sorted(set(places.values())):
    tensors = _read_tensors(folder / name)
    expected = {tensor for tensor in places if places[tensor] == name}
    problems += [f"{key}: not in {name}" for key in expected - tensors.keys()]
    problems += [
        f"{key}: in {name}, which the index does not say"
        for key in tensors.keys() - expected
    ]
    found |= tensors
  if problems:
    raise UserError(f"{index}: " + "; ".join(sorted(problems)) + ".")
  return found


def _read_tensors(path: Path) -> dict[str, np.ndarray]:
  try:
    with safe_open(path, framework="np") as file:
      tensors = {name: file.get_tensor(name) for name in file.keys()}
  except FileNotFoundError:
    raise UserError(f"{path}: missing, but the index names it.") from None
  except PermissionError as error:
    raise UserError(f"{path}: cannot be read ({error.strerror}).") from None
  except (SafetensorError, OSError, TypeError, KeyError) as error:
    raise UserError(
        f"{path}: not a whole safetensors file of known types ({error})."
        " Download or write it again."
    ) from error
  for name, tensor in tensors.items():
    # Types of other libraries, such as bfloat16, have the kind V.
    floats = tensor.astype(np.float32) if tensor.dtype.kind in "fV" else tensor
    if not np.isfinite(floats).all():
      bad = int(np.size(floats) - np.isfinite(floats).sum())
      raise UserError(
          f"{path}: {bad:,} of {np.size(floats):,} numbers of the tensor {name}"
          " are not finite, so all vectors would be NaN. Save the model again"
          " from a checkpoint that is whole."
      )
  return tensors


def _read_object(path: Path) -> dict[str, Any]:
  if not path.exists():
    raise UserError(
        f"{path.parent}: no {path.name}, so no Hugging Face folder."
    )
  return read_object(path)

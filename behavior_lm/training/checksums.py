"""Checksums of a state: whether what is read is what was saved.

TensorStore checks the index of its files but not the arrays in them: of bits
that were flipped in the data files of a small checkpoint, one in six was read
as other weights without a word.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
import json
from typing import Any
import zlib

import jax
import numpy as np


def of_arrays(tree: Any) -> dict[str, list[Any]]:
  """The checksum of each array.

  The bytes count as they lie in C order, whatever the sharding is. Arrays that
  are spread over several hosts are left out: no host can read them whole.

  Args:
    tree: nested dicts of arrays.

  Returns:
    {path: [dtype, CRC-32]}.
  """
  leaves = {
      jax.tree_util.keystr(path, simple=True, separator="/"): leaf
      for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
      if not isinstance(leaf, jax.Array) or _is_readable(leaf)
  }
  # zlib lets other threads work meanwhile.
  with ThreadPoolExecutor() as pool:
    return dict(zip(leaves, pool.map(_of_array, leaves.values()), strict=True))


def of_json(value: Any) -> list[Any]:
  """The checksum of a JSON value, the same after writing and reading it."""
  text = json.dumps(json.loads(json.dumps(value)), sort_keys=True)
  return ["json", zlib.crc32(text.encode())]


def changed(
    saved: Mapping[str, list[Any]], found: Mapping[str, list[Any]]
) -> list[str]:
  """The paths in `found` whose bytes are not those that were saved.

  What was read into another dtype than that of the file cannot be compared.
  """
  return [
      path
      for path, (dtype, checksum) in found.items()
      if path not in saved
      or (saved[path][0] == dtype and saved[path][1] != checksum)
  ]


def _is_readable(array: jax.Array) -> bool:
  return array.is_fully_addressable or array.is_fully_replicated


def _of_array(array: Any) -> list[Any]:
  values = np.ascontiguousarray(array)
  return [str(values.dtype), zlib.crc32(values.reshape(-1).view(np.uint8))]

"""Hashes that say whether data is what was written.

One is of a stored example together with its place in its file (CRC-32, checked
at every reading), one of all examples of a dataset whatever their order. The
hash of a file's bytes is `common.files.sha256`.
"""

from collections.abc import Iterable
import hashlib
import pathlib
from typing import Any
import zlib

import numpy as np
import polars as pl

from behavior_lm.logs import schema

# Field of a stored example that holds its CRC. No extra column is named so.
FIELD = "_checksum"
_MODULUS = 1 << 256
# Types in which arrays are hashed, the same on every machine.
_CODE, _TIME = np.dtype("<i4"), np.dtype("<i8")


def example_crc(
    example: dict[str, Any], place: int, extras: schema.Kinds
) -> int:
  """CRC-32 of one example and its place in its file.

  The place is part of it: an example that comes back from elsewhere is as
  wrong as one with other events.

  Args:
    example: user_id, start, pair, timestamp and the extra columns.
    place: number of the example in its file, from 0.
    extras: kinds of the extra columns.
  """
  start = example["start"]
  head = f"{place} {start} {len(example['pair'])} {example[schema.USER_ID]}"
  crc = zlib.crc32(head.encode())
  for data in _arrays(example, extras):
    crc = zlib.crc32(data, crc)
  return crc


def example_hash(
    split: str, example: dict[str, Any], extras: schema.Kinds
) -> int:
  """SHA-256 of one example and its split, as a number."""
  head = f"{split} {example['start']} {len(example['pair'])}"
  digest = hashlib.sha256(f"{head} {example[schema.USER_ID]}".encode())
  for data in _arrays(example, extras):
    digest.update(data)
  return int.from_bytes(digest.digest())


def categories_hash(name: str, categories: pl.DataFrame) -> int:
  """SHA-256 of what the codes of a categorical column mean, as a number."""
  digest = hashlib.sha256(name.encode())
  for value in categories["value"].to_list():
    text = "" if value is None else f"{len(value)} {value}"
    digest.update(f"{text}\n".encode())
  return int.from_bytes(digest.digest())


def pairs_hash(pairs: pl.DataFrame) -> int:
  """SHA-256 of what the pair codes mean, as a number."""
  digest = hashlib.sha256()
  for event, design in pairs.select(
      schema.EVENT_ID, schema.DESIGN_ID
  ).iter_rows():
    # Lengths, since an id may hold any character that could separate two.
    digest.update(f"{len(event)} {len(design)} {event}{design}".encode())
  return int.from_bytes(digest.digest())


def text_hash(text: str) -> int:
  """SHA-256 of a text, as a number."""
  return int.from_bytes(hashlib.sha256(text.encode()).digest())


def total(hashes: Iterable[int]) -> int:
  """Sum modulo 2**256: the same in whatever order and groups it is made."""
  return sum(hashes) % _MODULUS


def to_hex(number: int) -> str:
  """64 hexadecimal digits."""
  return f"{number % _MODULUS:064x}"


def _arrays(
    example: dict[str, Any], extras: schema.Kinds
) -> Iterable[np.ndarray]:
  yield np.ascontiguousarray(example["pair"], _CODE)
  yield np.ascontiguousarray(example[schema.TIMESTAMP], _TIME)
  for name, kind in extras.items():
    yield np.ascontiguousarray(example[name], schema.EXTRA_DTYPES[kind])


class HashingFile:
  """A new file that is hashed while it is written.

  Args:
    path: of the file.
  """

  def __init__(self, path: pathlib.Path):
    self._file = path.open("wb")
    self._digest = hashlib.sha256()
    self.size = 0

  def write(self, data: bytes | memoryview) -> None:
    # Not ndarray.tofile: that one does not say that the disk is full.
    self._file.write(data)
    self._digest.update(data)
    self.size += len(data)

  def close(self) -> str:
    """Returns the hash of what was written, in hexadecimal."""
    self._file.close()
    return self._digest.hexdigest()

"""One file of a log, as the readers take it."""

from collections.abc import Mapping
import dataclasses
import pathlib

CSV, TSV, JSONL, PARQUET = "csv", "tsv", "jsonl", "parquet"
# The formats that a file's name tells; the others are in formats.FORMATS.
GENERIC = (CSV, TSV, JSONL, PARQUET)
# Compressions that the first bytes of a file tell.
GZIP, BZ2, XZ, ZSTD, LZ4 = "gzip", "bz2", "xz", "zstd", "lz4"
_MAGIC = {
    b"\x1f\x8b": GZIP,
    b"BZh": BZ2,
    b"\xfd7zXZ\0": XZ,
    b"\x28\xb5\x2f\xfd": ZSTD,
    b"\x04\x22\x4d\x18": LZ4,
}


@dataclasses.dataclass(frozen=True)
class Source:
  """One file of a log.

  Attributes:
    path: where it is.
    name: how reports call it: its path inside the folder given.
    format: one of GENERIC, or a name in formats.FORMATS.
    compression: how it is compressed, as `compression_of` says; empty if not.
    size: bytes on disk.
    groups: the row groups to read of a Parquet file, first and one behind the
      last; None is all of them.
    folder_values: {column: value} that the names of its folders state, such as
      `event_id=login/`; None is a missing value.
  """

  path: pathlib.Path
  name: str
  format: str
  compression: str
  size: int
  groups: tuple[int, int] | None = None
  folder_values: Mapping[str, str | None] = dataclasses.field(
      default_factory=dict
  )


def compression_of(head: bytes) -> str:
  """The compression of a file that begins with `head`; empty for none."""
  return next(
      (name for magic, name in _MAGIC.items() if head.startswith(magic)), ""
  )

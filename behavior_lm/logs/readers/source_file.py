"""One file of a log, as the readers take it."""

import dataclasses
import pathlib

CSV, TSV, JSONL, PARQUET = "csv", "tsv", "jsonl", "parquet"
# The formats that a file's name tells; the others are in formats.FORMATS.
GENERIC = (CSV, TSV, JSONL, PARQUET)


@dataclasses.dataclass(frozen=True)
class Source:
  """One file of a log.

  Attributes:
    path: where it is.
    name: how reports call it: its path inside the folder given.
    format: one of GENERIC, or a name in formats.FORMATS.
    gzipped: whether it is compressed.
    size: bytes on disk.
    groups: the row groups to read of a Parquet file, first and one behind the
      last; None is all of them.
  """

  path: pathlib.Path
  name: str
  format: str
  gzipped: bool
  size: int
  groups: tuple[int, int] | None = None

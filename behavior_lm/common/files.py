"""Files that are there as a whole, or not at all."""

from collections.abc import Iterator
import contextlib
import hashlib
import os
from pathlib import Path


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
  """Yields a path to write; that file becomes `path` when the body succeeds.

  If the body raises or the process is killed, `path` stays as it was. The
  name that is yielded ends in .tmp, which no reader of logs or parts takes for
  its own, and holds the process id: two processes may write one file. Give
  `np.save` and `savefig` an open file or a format, since they go by the name.
  """
  temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
  try:
    yield temporary
    temporary.replace(path)
  finally:
    temporary.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes) -> None:
  """Writes a file that a kill cannot leave half written; text as UTF-8."""
  with whole_file(path) as temporary:
    if isinstance(content, str):
      temporary.write_text(content, encoding="utf-8")
    else:
      temporary.write_bytes(content)


def sha256(path: Path) -> str:
  """SHA-256 of a file's bytes, in hexadecimal."""
  with path.open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()

"""JSON files that commands wrote: read whole, or one clear error."""

from collections.abc import Iterator
import contextlib
import json
from pathlib import Path
from typing import Any

from behavior_lm.common.errors import UserError


def read_object(path: Path) -> dict[str, Any]:
  """Reads the JSON object in a file.

  Raises:
    UserError: if the file cannot be read or holds something else.
  """
  try:
    content = json.loads(path.read_text(encoding="utf-8"))
  except (OSError, UnicodeDecodeError) as error:
    raise UserError(f"{path}: cannot be read ({error}).") from error
  except (ValueError, RecursionError) as error:
    raise UserError(
        f"{path}: not readable as JSON ({error}). Make it again, or delete it."
    ) from error
  if not isinstance(content, dict):
    raise UserError(
        f"{path}: holds a JSON {type(content).__name__}, not an object."
    )
  return content


def read_entry(path: Path, name: str) -> Any:
  """Reads one entry of the JSON object in a file.

  Raises:
    UserError: as `read_object`, or if there is no such entry.
  """
  with damage_named(str(path)):
    return read_object(path)[name]


def read_if_there(path: Path) -> dict[str, Any] | None:
  """Reads the JSON object in a file; None if there is no file."""
  return read_object(path) if path.exists() else None


@contextlib.contextmanager
def damage_named(where: str) -> Iterator[None]:
  """Turns a missing or odd value that the body meets into a UserError."""
  try:
    yield
  except UserError:
    raise
  except KeyError as error:
    raise UserError(
        f"{where}: has no {error.args[0]!r}. Make it again, or delete it."
    ) from error
  except (TypeError, ValueError, AttributeError, IndexError) as error:
    raise UserError(
        f"{where}: is not as this version writes it ({error}). Make it again,"
        " or delete it."
    ) from error

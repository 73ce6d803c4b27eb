"""Reading what other commands wrote: whole, or one clear line."""

from collections.abc import Callable, Iterator
import contextlib
import json
from pathlib import Path
from typing import Any

from behavior_lm.common.errors import UserError


def read_object(path: Path) -> dict[str, Any]:
  """The JSON object in a file.

  Raises:
    UserError: if the file cannot be read or holds something else.
  """
  try:
    content = json.loads(path.read_text(encoding="utf-8"))
  except (OSError, UnicodeDecodeError) as error:
    raise UserError(f"{path}: cannot be read ({error}).") from error
  except json.JSONDecodeError as error:
    raise UserError(
        f"{path}: not readable as JSON ({error}). Write it again, or delete it"
        " if it is not needed."
    ) from error
  if not isinstance(content, dict):
    raise UserError(
        f"{path}: holds a JSON {type(content).__name__}, not an object."
    )
  return content


@contextlib.contextmanager
def damage_named(where: str) -> Iterator[None]:
  """Turns a missing or odd value met in the body into a UserError."""
  try:
    yield
  except UserError:
    raise
  except KeyError as error:
    raise UserError(f"{where}: has no {error.args[0]!r}.") from error
  except (TypeError, ValueError, AttributeError, IndexError) as error:
    raise UserError(
        f"{where}: not as this version writes it ({error}). Write it again, or"
        " delete it to get the report without it."
    ) from error


def parse_file[T](
    path: Path, parse: Callable[[dict[str, Any]], T]
) -> T | None:
  """What `parse` makes of the JSON object in a file; None without a file."""
  if not path.exists():
    return None
  content = read_object(path)
  with damage_named(str(path)):
    return parse(content)

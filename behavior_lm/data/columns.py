"""Which columns of a log hold the user, the event, the design and the time."""

from collections.abc import Sequence

from behavior_lm.data import schema
from behavior_lm.errors import UserError

REQUIRED = (schema.USER_ID, schema.EVENT_ID, schema.TIMESTAMP)


def parse_columns(text: str) -> dict[str, str]:
  """Reads `user_id=uid,event_id=action` into {ours: theirs}.

  Args:
    text: the value of --columns; columns left out keep our name.

  Returns:
    {ours: theirs} of the columns that were named.

  Raises:
    UserError: if a part is not `ours=theirs` or names no column of ours.
  """
  mapping: dict[str, str] = {}
  for part in filter(None, (part.strip() for part in text.split(","))):
    ours, sign, theirs = (piece.strip() for piece in part.partition("="))
    if not sign or not theirs:
      raise UserError(
          f"--columns: {part!r} is not of the form ours=theirs, for example"
          " --columns user_id=uid,event_id=action,timestamp=ts"
      )
    if ours not in schema.EVENT_COLUMNS:
      raise UserError(
          f"--columns: {ours!r} is not a column of ours; they are"
          f" {', '.join(schema.EVENT_COLUMNS)} (ours=theirs)"
      )
    if ours in mapping:
      raise UserError(f"--columns: {ours} is given twice")
    mapping[ours] = theirs
  return mapping


def resolve_columns(
    mapping: dict[str, str], found: Sequence[str], file: str
) -> dict[str, str]:
  """Finds the columns of one file.

  Args:
    mapping: {ours: theirs} as parse_columns gives it.
    found: the file's column names.
    file: its name, for messages.

  Returns:
    {ours: theirs}; design_id is missing where the file has none.

  Raises:
    UserError: if a needed column is not there, or a name is there twice.
  """
  twice = sorted({name for name in found if found.count(name) > 1})
  if twice:
    raise UserError(
        f"{file}: the header names {twice[0]!r} more than once. Rename the"
        " columns so that each name is there once."
    )
  resolved = {}
  for ours in schema.EVENT_COLUMNS:
    theirs = mapping.get(ours, ours)
    if theirs in found:
      resolved[ours] = theirs
    elif ours in mapping:
      raise UserError(
          f"{file}: --columns says {ours}={theirs}, but there is no column"
          f" {theirs!r}. Its columns: {_listed(found)}."
      )
    elif ours in REQUIRED:
      raise UserError(
          f"{file}: no column {ours!r}. Its columns: {_listed(found)}. Name"
          f" the right one with --columns {ours}=THEIR_NAME."
      )
  return resolved


def _listed(names: Sequence[str], limit: int = 20) -> str:
  shown = ", ".join(repr(name[:40]) for name in names[:limit])
  more = len(names) - limit
  return shown + (f" and {more} more" if more > 0 else "")

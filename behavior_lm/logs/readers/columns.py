"""Which columns of a log hold the user, the event, the design and the time."""

from collections.abc import Sequence
import re

from behavior_lm.common.errors import UserError
from behavior_lm.logs import schema

REQUIRED = (schema.USER_ID, schema.EVENT_ID, schema.TIMESTAMP)
# Names that examples and batches use for something else; a test of
# behavior_lm.data.fields keeps this list complete.
RESERVED = frozenset(
    {*schema.EVENT_COLUMNS, "start", "pair", "split", "index", "row", "why"}
    | {"tokens", "time_gaps", "times", "num_events", "sessions", "masked"}
    | {"positions", "segment_ids", "sequence", "hidden_bits", "first_event"}
    | {"gap_previous", "gap_next", "log_gap_previous", "log_gap_next"}
    | {"hour", "weekday", "account_age"}
)
_EXTRA_NAME = re.compile(r"[a-z][a-z0-9_]*")


def parse_extras(text: str) -> tuple[str, ...]:
  """Reads `level,price`, the names of further numeric columns.

  Args:
    text: the value of --extras.

  Returns:
    The names, in the order given.

  Raises:
    UserError: if a name is malformed, used by us, or there twice.
  """
  names = tuple(filter(None, (part.strip() for part in text.split(","))))
  check_extras(names)
  return names


def check_extras(names: Sequence[str]) -> None:
  """Raises UserError if a column cannot have one of these names."""
  for place, name in enumerate(names):
    if not _EXTRA_NAME.fullmatch(name):
      raise UserError(
          f"--extras: {name!r} is no name for a column; use small letters,"
          " digits and _, beginning with a letter. Columns that are called"
          " otherwise in the log: --extras level --columns level=THEIR_NAME"
      )
    if name in RESERVED:
      raise UserError(
          f"--extras: {name!r} is a name of ours; choose another one and map"
          f" it: --extras my_{name} --columns my_{name}={name}"
      )
    if name in names[:place]:
      raise UserError(f"--extras: {name} is given twice")


def parse_columns(text: str, extras: Sequence[str] = ()) -> dict[str, str]:
  """Reads `user_id=uid,event_id=action` into {ours: theirs}.

  Args:
    text: the value of --columns; columns left out keep our name.
    extras: names of further columns, which may be mapped too.

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
    if ours not in (*schema.EVENT_COLUMNS, *extras):
      raise UserError(
          f"--columns: {ours!r} is not a column of ours; they are"
          f" {', '.join((*schema.EVENT_COLUMNS, *extras))} (ours=theirs)."
          " Further numeric columns are named with --extras first."
      )
    if ours in mapping:
      raise UserError(f"--columns: {ours} is given twice")
    mapping[ours] = theirs
  return mapping


def resolve_columns(
    mapping: dict[str, str],
    found: Sequence[str],
    file: str,
    extras: Sequence[str] = (),
) -> dict[str, str]:
  """Finds the columns of one file.

  Args:
    mapping: {ours: theirs} as parse_columns gives it.
    found: the file's column names.
    file: its name, for messages.
    extras: further columns that are wanted, by our names.

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
  for ours in (*schema.EVENT_COLUMNS, *extras):
    theirs = mapping.get(ours, ours)
    if theirs in found:
      resolved[ours] = theirs
    elif ours in mapping:
      raise UserError(
          f"{file}: --columns says {ours}={theirs}, but there is no column"
          f" {theirs!r}. Its columns: {_listed(found)}."
      )
    elif ours in (*REQUIRED, *extras):
      raise UserError(
          f"{file}: no column {ours!r}. Its columns: {_listed(found)}. Name"
          f" the right one with --columns {ours}=THEIR_NAME."
      )
  return resolved


def _listed(names: Sequence[str], limit: int = 20) -> str:
  shown = ", ".join(repr(name[:40]) for name in names[:limit])
  more = len(names) - limit
  return shown + (f" and {more} more" if more > 0 else "")

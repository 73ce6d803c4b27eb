"""Which columns of a log hold the user, the event, the design and the time."""

from collections.abc import Collection, Iterable, Mapping, Sequence
import re

from behavior_lm.common.errors import UserError
from behavior_lm.logs import schema

REQUIRED = (schema.USER_ID, schema.EVENT_ID, schema.TIMESTAMP)
# Names that examples and batches use for something else; a test of
# behavior_lm.data.fields keeps this list complete.
RESERVED = frozenset(
    {*schema.EVENT_COLUMNS, "start", "pair", "split", "index", "row", "why"}
    | {"tokens", "time_gaps", "times", "num_events", "sessions", "masked"}
    | {"positions", "segment_ids", "sequence", "token_index", "hidden_bits"}
    | {"first_event", "labels", "weights", "domain", "sample"}
    | {"gap_previous", "gap_next", "hour", "weekday", "weekend"}
    | {"account_age", "from_start", "to_end"}
    | {"row_user", "segment_user", "short_popularity", "short_category"}
    | {"ids", "dense", "vector"}
)
_EXTRA_NAME = re.compile(r"[a-z][a-z0-9_]*")
_PART = re.compile(r'(?:=\s*"[^"]*"|[^,])+')
_EXTRA_KINDS = {"num": schema.NUMERIC, "cat": schema.CATEGORICAL}


def parse_extras(text: str) -> tuple[str, ...]:
  """Reads `price,category:cat`, the declarations of further columns.

  Args:
    text: the value of --extras.

  Returns:
    The declarations in the order given: `NAME`, `NAME:num` or `NAME:cat`.

  Raises:
    UserError: if a declaration is malformed, its name is one that the package
      uses, or a name is there twice.
  """
  declared = tuple(filter(None, (part.strip() for part in text.split(","))))
  extra_kinds(declared)
  return declared


def extra_kinds(
    declared: Iterable[str], categorical: Collection[str] = ()
) -> dict[str, str]:
  """Says what each declared column holds.

  Args:
    declared: declarations, as `parse_extras` returns them.
    categorical: names that are categorical unless declared otherwise; all
      others are numeric.

  Returns:
    {name: schema.NUMERIC or schema.CATEGORICAL}, in the order given.

  Raises:
    UserError: as `parse_extras`.
  """
  kinds: dict[str, str] = {}
  for declaration in declared:
    name, sign, kind = declaration.partition(":")
    if sign and kind not in _EXTRA_KINDS:
      raise UserError(
          f"--extras: {declaration!r} is not of the form NAME, NAME:num or"
          " NAME:cat, for example --extras price,category:cat"
      )
    if not _EXTRA_NAME.fullmatch(name):
      raise UserError(
          f"--extras: {name!r} is no name for a column; use small letters,"
          " digits and _, beginning with a letter. Where the log has another"
          " name: --extras level --columns level=THEIR_NAME"
      )
    if name in RESERVED:
      raise UserError(
          f"--extras: this package uses the name {name!r} itself; choose"
          f" another one and map it: --extras my_{name} --columns"
          f" my_{name}={name}"
      )
    if name in kinds:
      raise UserError(f"--extras: {name} is given twice")
    if sign:
      kinds[name] = _EXTRA_KINDS[kind]
    else:
      known = name in categorical
      kinds[name] = schema.CATEGORICAL if known else schema.NUMERIC
  return kinds


def declare_extras(kinds: schema.Kinds) -> tuple[str, ...]:
  """The declarations that `extra_kinds` reads as these kinds."""
  return tuple(
      f"{name}:cat" if kind == schema.CATEGORICAL else name
      for name, kind in kinds.items()
  )


def parse_columns(text: str, extras: Collection[str] = ()) -> dict[str, str]:
  """Reads `user_id=uid,timestamp="Time, UTC"` into {ours: theirs}.

  Args:
    text: the value of --columns; columns left out keep our name.
    extras: names of further columns, which may be mapped too.

  Returns:
    {ours: theirs} of the columns that were named.

  Raises:
    UserError: if a part is not `ours=theirs` or names no column of ours.
  """
  mapping: dict[str, str] = {}
  # A comma inside of quotes belongs to a name: timestamp="Time, UTC".
  parts = (part.strip() for part in _PART.findall(text))
  for part in filter(None, parts):
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
          " Further columns are named with --extras first."
      )
    if ours in mapping:
      raise UserError(f"--columns: {ours} is given twice")
    if len(theirs) > 1 and theirs[0] == theirs[-1] == '"':
      theirs = theirs[1:-1]
    mapping[ours] = theirs
  return mapping


def resolve_columns(
    mapping: dict[str, str],
    found: Sequence[str],
    file: str,
    extras: Sequence[str] = (),
    outside: Collection[str] = (),
) -> dict[str, str]:
  """Finds the columns of one file.

  Args:
    mapping: {ours: theirs} as parse_columns gives it.
    found: the file's column names.
    file: its name, for messages.
    extras: further columns that are wanted, by our names.
    outside: columns that the names of the file's folders state.

  Returns:
    {ours: theirs} of the columns in the file: design_id is missing where it
    has none, and so are columns that are only `outside`.

  Raises:
    UserError: if a needed column is not there, or a name is there twice.
  """
  # Columns without a name, at the end of lines often, are nobody's.
  twice = sorted({name for name in found if found.count(name) > 1} - {""})
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
    elif theirs in outside:
      continue
    elif ours in mapping:
      raise UserError(
          f"{file}: --columns says {ours}={theirs}, but there is no column"
          f" {theirs!r}. Its columns: {_listed(found)}."
      )
    elif ours in (*REQUIRED, *extras):
      raise UserError(
          f"{file}: no column {ours!r}. Its columns: {_listed(found)}. Name"
          f" the right one with --columns {ours}=THEIR_NAME."
          + _hint(found, ours)
      )
  return resolved


def stated(
    mapping: dict[str, str],
    resolved: Collection[str],
    values: Mapping[str, str | None],
    ours: Iterable[str],
) -> dict[str, str | None]:
  """{ours: value} of the columns that only the file's folders state.

  Args:
    mapping: {ours: theirs} as parse_columns gives it.
    resolved: our names of the columns that are in the file.
    values: {theirs: value} of the folders.
    ours: the columns that are wanted.
  """
  return {
      name: values[theirs]
      for name in ours
      if name not in resolved and (theirs := mapping.get(name, name)) in values
  }


def _hint(found: Sequence[str], ours: str) -> str:
  """A hint where the first line seems to be a row, or a name has a comma."""
  if with_comma := [name for name in found if "," in name]:
    return (
        " A name with a comma is in quotes: --columns"
        f" '{ours}=\"{with_comma[0]}\"'"
    )
  if any(re.fullmatch(r"[\d.:TZ/ -]*\d[\d.:TZ/ -]*", name) for name in found):
    return (
        " If that line is a row already, name the columns of all files:"
        " --header user_id,event_id,design_id,timestamp"
    )
  return ""


def _listed(names: Sequence[str], limit: int = 20) -> str:
  shown = ", ".join(repr(name[:40]) for name in names[:limit])
  more = len(names) - limit
  return shown + (f" and {more} more" if more > 0 else "")

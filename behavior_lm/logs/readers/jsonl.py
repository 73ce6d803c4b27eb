"""Reads JSON logs: one object a line, or one array of objects."""

from collections.abc import Iterator, Sequence
import json
import re
from typing import Any

import polars as pl

from behavior_lm.logs import schema
from behavior_lm.logs.readers import clean
from behavior_lm.logs.readers import columns
from behavior_lm.logs.readers import json_array
from behavior_lm.logs.readers import quarantine
from behavior_lm.logs.readers import text_lines
from behavior_lm.logs.readers import value_text
from behavior_lm.logs.readers.source_file import Source
from behavior_lm.logs.readers.text_lines import Lines

_IDS = (schema.USER_ID, schema.EVENT_ID, schema.DESIGN_ID)
# So many lines are looked at for the names of the columns.
_LOOK_LINES = 1_000
# Values that only the slow way reads as they are meant: a number that is a
# negative zero, and `{"$oid": "5f"}`, how document stores wrap values.
_WRAPPED = b'"$'
_NEGATIVE_ZERO = re.compile(rb"(?<=[:\s])-0(?:\.0*)?(?:[eE][+-]?\d+)?\s*[,}]")


def read_jsonl(
    source: Source,
    mapping: dict[str, str],
    encoding: str,
    rejected: quarantine.Quarantine,
    extras: Sequence[str] = (),
    *,
    optional: Sequence[str] = (),
) -> Iterator[pl.DataFrame]:
  """Yields batches as `clean.clean` takes them.

  `row` is the line, or the number of the element in an array.

  Args:
    source: the file.
    mapping: {ours: theirs} of the keys that differ.
    encoding: of the file.
    rejected: gets the lines that are no objects.
    extras: further keys, by our names; yielded as text.
    optional: extras that the file need not have.

  Raises:
    UserError: if the file is no text, is broken as an array, or lacks a key.
  """
  log: _Log | None = None
  if json_array.is_array(source, encoding):
    chunks = json_array.read_elements(source, encoding, rejected)
  else:
    chunks = text_lines.read_chunks(
        source, encoding, rejected, has_header=False
    )
  for number, data, last in chunks:
    lines = Lines.of(data, number)
    lines = lines.keep(~lines.blank())
    if not len(lines):
      continue
    if log is None:
      log = _Log(source, mapping, lines, extras, optional, rejected)
    if last and not data.endswith(b"\n"):
      log.cut_off = int(lines.numbers[-1])
    for frame, numbers in text_lines.parse_in_halves(
        lines, log.parse, log.parse_slowly
    ):
      # Without rows too: somebody counts the rejected ones.
      yield frame.select(pl.Series(clean.ROW, numbers, pl.Int64), pl.all())


class _Log:
  """The objects of one file.

  Args:
    source: the file.
    mapping: {ours: theirs} of the keys that differ.
    start: its first lines, to see the keys.
    extras: further keys, by our names.
    optional: the ones that need not be there.
    rejected: gets the lines that are no objects.
  """

  def __init__(
      self,
      source: Source,
      mapping: dict[str, str],
      start: Lines,
      extras: Sequence[str],
      optional: Sequence[str],
      rejected: quarantine.Quarantine,
  ):
    self._source = source
    self._rejected = rejected
    self.cut_off: int | None = None
    found: dict[str, None] = {}
    for index in range(min(len(start), _LOOK_LINES)):
      found |= dict.fromkeys(_object(start.line(index)) or {})
    if found:
      self._names = columns.resolve_columns(
          mapping,
          list(found),
          source.name,
          [name for name in extras if name not in optional],
          source.folder_values,
      )
      rejected.unkept.update({*found} - {*self._names.values()})
    else:
      self._names = dict(mapping)
    self._ours = (*schema.EVENT_COLUMNS, *extras)
    self._stated = columns.stated(
        mapping, self._names, source.folder_values, self._ours
    )
    # Rows without a design may come first; the key is looked for anyway.
    for ours in self._ours:
      self._names.setdefault(ours, mapping.get(ours, ours))
    ids = "|".join(re.escape(json.dumps(self._names[n])) for n in _IDS)
    self._nested = re.compile(rf"(?:{ids})\s*:\s*[\[{{]".encode())

  def parse(self, data: bytes) -> pl.DataFrame:
    """Reads many lines with Polars; fails if the slow way must."""
    if (
        _WRAPPED in data
        or self._nested.search(data)
        or _NEGATIVE_ZERO.search(data)
    ):
      raise pl.exceptions.ComputeError("holds values for the slow way")
    frame = pl.read_ndjson(
        data, schema=dict.fromkeys(self._names.values(), pl.String())
    )
    return frame.select(
        (
            pl.lit(self._stated[ours], pl.String)
            if ours in self._stated
            else pl.col(self._names[ours])
        ).alias(ours)
        for ours in self._ours
    )

  def parse_slowly(self, lines: Lines) -> pl.DataFrame:
    """Reads few lines, rejecting those that are no objects."""
    data: dict[str, list[Any]] = {clean.ROW: []}
    data |= {name: [] for name in (*self._ours, clean.WHY)}
    for index, number in enumerate(lines.numbers.tolist()):
      line = lines.line(index)
      if not line.strip():
        continue
      found = _object(line)
      if found is None:
        reason = quarantine.BROKEN_JSON
        if number == self.cut_off:
          reason = quarantine.CUT_OFF
        self._rejected.add(self._source.name, number, reason, line)
        continue
      data[clean.ROW].append(number)
      why = None
      for ours in self._ours:
        value = self._stated.get(ours, found.get(self._names[ours]))
        value = value_text.unwrapped(value)
        data[ours].append(_as_text(value))
        if ours in _IDS and isinstance(value, dict | list):
          why = quarantine.not_plain(ours)
      data[clean.WHY].append(why)
    kinds = dict.fromkeys((*self._ours, clean.WHY), pl.String())
    if not any(data[clean.WHY]):
      del data[clean.WHY], kinds[clean.WHY]
    return pl.DataFrame(data, schema={clean.ROW: pl.Int64(), **kinds})


def _object(line: bytes) -> dict[str, Any] | None:
  try:
    found = json.loads(line, parse_constant=_refuse)
    # Half a surrogate pair is fine in JSON and nowhere else.
    json.dumps(found, ensure_ascii=False).encode()
  except (ValueError, RecursionError):
    return None
  return found if isinstance(found, dict) else None


def _refuse(word: str) -> Any:
  raise ValueError(f"{word} is not JSON")


def _as_text(value: Any) -> str | None:
  """A JSON value as Polars writes it into a text column."""
  if isinstance(value, dict | list):
    return json.dumps(value, ensure_ascii=False)
  return value_text.of_json(value)

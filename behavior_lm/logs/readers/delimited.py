"""Reads CSV and TSV logs.

Polars parses whole chunks. It is given only lines that were seen to have the
right number of fields: NumPy counts the separators of all lines at once, and
Python looks at the lines with odd quotes alone.
"""

from collections.abc import Iterator, Sequence
import csv
import re

import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.logs import schema
from behavior_lm.logs.readers import clean
from behavior_lm.logs.readers import columns
from behavior_lm.logs.readers import quarantine
from behavior_lm.logs.readers import source_file
from behavior_lm.logs.readers import text_lines
from behavior_lm.logs.readers.source_file import Source
from behavior_lm.logs.readers.text_lines import Lines

_QUOTE = ord('"')
_SEPARATORS = (",", "\t", ";", "|")
_SAID = re.compile(r'"?sep=(.)"?\r?')
# A quoted field over more lines or bytes than this is a broken quote.
_MAX_RECORD_LINES = 100
_MAX_RECORD_BYTES = 1 << 20


def read_delimited(
    source: Source,
    mapping: dict[str, str],
    encoding: str,
    rejected: quarantine.Quarantine,
    extras: Sequence[str] = (),
    *,
    names: Sequence[str] | None = None,
    separator: str | None = None,
) -> Iterator[pl.DataFrame]:
  """Yields batches as `clean.clean` takes them; `row` is the line.

  Args:
    source: the file; its first line names the columns, unless `names` does.
    mapping: {ours: theirs} of the columns that differ.
    encoding: of the file.
    rejected: gets the lines that are no rows.
    extras: further columns, by our names; yielded as text.
    names: of the columns of a file without a header line.
    separator: of the fields; a tab for TSV and the most frequent one of the
      header line otherwise, unless given.

  Raises:
    UserError: if the file is no text, or lacks a column.
  """
  table: _Table | None = None
  pending = b""
  for number, data, last in text_lines.read_chunks(
      source, encoding, rejected, has_header=names is None
  ):
    number -= pending.count(b"\n")
    data = pending + data
    cut_off = last and bool(data) and not data.endswith(b"\n")
    lines = Lines.of(data, number)
    if table is None:
      present = np.flatnonzero(~lines.blank())
      if not len(present):
        continue
      first = lines.line(int(present[0])).decode()
      if said := _SAID.fullmatch(first):
        # What spreadsheets write before the header.
        separator = separator or said[1]
        lines = lines.keep(np.arange(len(lines)) > present[0])
        present = np.flatnonzero(~lines.blank())
        if not len(present):
          continue
        first = lines.line(int(present[0])).decode()
      separator = separator or _separator(source, first)
      header = names
      if header is None:
        lines = lines.keep(np.arange(len(lines)) > present[0])
        header = [name.strip() for name in _header(source, first, separator)]
      table = _Table(source, mapping, header, separator, extras, rejected)
    frame, pending = table.read(lines, last=last, cut_off=cut_off)
    yield frame  # Without rows too: somebody counts the rejected ones.


class _Table:
  """The rows of one file.

  Args:
    source: the file.
    mapping: {ours: theirs} of the columns that differ.
    names: of its columns.
    separator: of its fields.
    extras: further columns, by our names.
    rejected: gets the lines that are no rows.
  """

  def __init__(
      self,
      source: Source,
      mapping: dict[str, str],
      names: Sequence[str],
      separator: str,
      extras: Sequence[str],
      rejected: quarantine.Quarantine,
  ):
    self._source = source
    self._rejected = rejected
    self._separator = separator
    values = source.folder_values
    resolved = columns.resolve_columns(
        mapping, names, source.name, extras, values
    )
    rejected.unkept.update({*names} - {*resolved.values()})
    self._ours = (*schema.EVENT_COLUMNS, *extras)
    self._stated = columns.stated(mapping, resolved, values, self._ours)
    self._num_fields = len(names)
    # Place in the file of each of our columns.
    self._places = {
        ours: names.index(theirs) for ours, theirs in resolved.items()
    }
    self._cut_off: int | None = None

  def read(
      self, lines: Lines, *, last: bool, cut_off: bool
  ) -> tuple[pl.DataFrame, bytes]:
    """Reads the rows of one chunk.

    Args:
      lines: the chunk.
      last: whether the file ends here.
      cut_off: whether it ends without a line feed.

    Returns:
      The rows, and the bytes of a row that the next chunk continues.
    """
    if cut_off and len(lines):
      self._cut_off = int(lines.numbers[-1])
    lines, quoted, rest = self._take_odd_quotes(lines, last=last)
    lines = self._check_fields(lines.keep(~lines.blank()))
    frames = [
        frame.select(pl.Series(clean.ROW, numbers, pl.Int64), pl.all())
        for frame, numbers in text_lines.parse_in_halves(
            lines, self._parse, self._parse_slowly
        )
    ]
    if quoted:
      frames.append(self._frame(quoted))
    if not frames:
      return self._frame([]), rest
    joined = pl.concat(frames)
    return (joined.sort(clean.ROW) if quoted else joined), rest

  def _take_odd_quotes(
      self, lines: Lines, *, last: bool
  ) -> tuple[Lines, list[tuple[int, list[str]]], bytes]:
    """Takes out the lines with an odd number of quotes.

    They begin or end a field of several lines, or are broken.

    Returns:
      The other lines; (line number, fields) of the rows found; the bytes of
      a row that is not complete yet.
    """
    quotes = np.flatnonzero(_codes(lines) == _QUOTE)
    line_of_quote = np.searchsorted(lines.ends, quotes)
    odd = np.bincount(line_of_quote, minlength=len(lines)) % 2 == 1
    taken = np.zeros(len(lines), bool)
    rows: list[tuple[int, list[str]]] = []
    for index in np.flatnonzero(odd):
      if taken[index]:
        continue
      fields, count, closed = self._record(lines, int(index), odd)
      if not closed and not last:
        taken[index:] = True
        return lines.keep(~taken), rows, lines.data[lines.begins[index] :]
      taken[index : index + count] = True
      number = int(lines.numbers[index])
      if fields is None:
        self._reject(
            number, quarantine.BROKEN_QUOTES, lines.line(int(index))
        )
      else:
        rows.append((number, fields))
    return lines.keep(~taken), rows, b""

  def _record(
      self, lines: Lines, index: int, odd: np.ndarray
  ) -> tuple[list[str] | None, int, bool]:
    """Reads the row that begins in a line with odd quotes.

    Returns:
      Its fields or None; over how many lines; and False if it may go on
      behind the last line.
    """
    fields = self._fields(lines.line(index).decode())
    if fields is not None and len(fields) == self._num_fields:
      return fields, 1, True  # A quote inside of a field: 5" pipe.
    begin = lines.begins[index]
    for end in range(index + 1, min(index + _MAX_RECORD_LINES, len(lines))):
      if lines.ends[end] - begin > _MAX_RECORD_BYTES:
        return None, 1, True
      if odd[end]:
        text = lines.data[begin : lines.ends[end]].decode()
        fields = self._fields(text)
        if fields is not None and len(fields) == self._num_fields:
          return fields, end - index + 1, True
        return None, 1, True
    return None, 1, index + _MAX_RECORD_LINES <= len(lines)

  def _check_fields(self, lines: Lines) -> Lines:
    """Rejects lines with too few or too many fields."""
    codes = _codes(lines)
    places = np.flatnonzero(codes == ord(self._separator))
    quotes = np.flatnonzero(codes == _QUOTE)
    if len(quotes):
      # Quotes are even in each line, so an odd number before is inside.
      places = places[np.searchsorted(quotes, places) % 2 == 0]
    wanted = self._num_fields - 1
    if wanted and len(places) == len(lines) * wanted:
      grid = places.reshape(len(lines), wanted)
      inside = (grid[:, 0] >= lines.begins) & (grid[:, -1] < lines.ends)
      if inside.all():
        return lines
    counts = np.bincount(
        np.searchsorted(lines.ends, places), minlength=len(lines)
    )
    for index in np.flatnonzero(counts != wanted):
      self._reject(
          int(lines.numbers[index]),
          quarantine.FIELD_COUNT,
          lines.line(int(index)),
      )
    return lines.keep(counts == wanted)

  def _parse(self, data: bytes) -> pl.DataFrame:
    """Reads lines of the right number of fields with Polars."""
    frame = pl.read_csv(
        data,
        has_header=False,
        separator=self._separator,
        quote_char='"' if b'"' in data else None,
        schema={str(place): pl.String for place in range(self._num_fields)},
        columns=sorted(set(self._places.values())),
    )
    return frame.select(
        (
            pl.col(str(self._places[ours]))
            if ours in self._places
            else pl.lit(self._stated.get(ours), pl.String)
        ).alias(ours)
        for ours in self._ours
    )

  def _parse_slowly(self, lines: Lines) -> pl.DataFrame:
    rows = []
    for index, number in enumerate(lines.numbers.tolist()):
      line = lines.line(index)
      fields = self._fields(line.decode())
      if fields is None:
        self._reject(number, quarantine.BROKEN_QUOTES, line)
      elif len(fields) != self._num_fields:
        self._reject(number, quarantine.FIELD_COUNT, line)
      else:
        rows.append((number, fields))
    return self._frame(rows)

  def _frame(self, rows: list[tuple[int, list[str]]]) -> pl.DataFrame:
    """(line number, fields) -> the columns of a batch."""
    data: dict[str, pl.Series] = {
        clean.ROW: pl.Series([number for number, _ in rows], dtype=pl.Int64)
    }
    for ours in self._ours:
      place = self._places.get(ours)
      values = [
          self._stated.get(ours) if place is None else fields[place]
          for _, fields in rows
      ]
      data[ours] = pl.Series(values, dtype=pl.String)
    return pl.DataFrame(data)

  def _fields(self, text: str) -> list[str] | None:
    return _fields(text, self._separator)

  def _reject(self, number: int, reason: str, text: bytes) -> None:
    if number == self._cut_off:
      reason = quarantine.CUT_OFF
    self._rejected.add(self._source.name, number, reason, text)


def _separator(source: Source, header: str) -> str:
  if source.format == source_file.TSV:
    return "\t"
  return max(_SEPARATORS, key=header.count)


def _header(source: Source, line: str, separator: str) -> list[str]:
  names = _fields(line, separator)
  if names is None:
    raise UserError(
        f"{source.name}: the quotes of the header line are broken, or a name"
        f" goes over several lines: {line[:80]!r}. Correct that line."
    )
  return names


def _fields(text: str, separator: str) -> list[str] | None:
  """The fields of one row; None if its quotes are broken."""
  reader = csv.reader(
      [text.removesuffix("\r")], delimiter=separator, strict=True
  )
  try:
    return next(reader, [])
  except csv.Error:
    return None


def _codes(lines: Lines) -> np.ndarray:
  return np.frombuffer(lines.data, np.uint8)

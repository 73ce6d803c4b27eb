"""Reads one JSON array as lines, an element a line, in bounded memory."""

import codecs
from collections.abc import Iterator
import json

from behavior_lm.common.errors import UserError
from behavior_lm.logs.readers import quarantine
from behavior_lm.logs.readers import text_lines
from behavior_lm.logs.readers.source_file import Source

_SPACE = " \t\r\n"
# So many characters of elements are handed on at once.
_BATCH = 4 << 20


def is_array(source: Source, encoding: str) -> bool:
  """Whether the file's first character that is no space is `[`."""
  for block in text_lines.read_blocks(source, encoding):
    start = block.lstrip(_SPACE.encode())
    if start:
      return start.startswith(b"[")
  return False


def read_elements(
    source: Source, encoding: str, rejected: quarantine.Quarantine
) -> Iterator[tuple[int, bytes, bool]]:
  """Yields (number of the first element, a line for each, False).

  What text_lines.read_chunks yields for JSON Lines: the elements are numbered
  from 1 and each is one line; an element is not looked into here.

  Args:
    source: a file for which `is_array` holds.
    encoding: of its text.
    rejected: gets an element that the end of the file cuts off.

  Raises:
    UserError: if something else than values and commas is in the array; where
      the next element begins cannot be told then.
  """
  found = _Elements(source)
  number, lines, size = 1, [], 0
  for element in found.read(_texts(source, encoding)):
    # Line ends inside of JSON are mere space: strings hold them escaped.
    lines.append(element.replace("\r", " ").replace("\n", " "))
    size += len(element)
    if size >= _BATCH:
      yield number, _encode(lines), False
      number, lines, size = number + len(lines), [], 0
  if lines:
    yield number, _encode(lines), False
  if found.rest is not None:
    rejected.add(
        source.name, found.count + 1, quarantine.CUT_OFF, found.rest.strip()
    )


class _Elements:
  """Finds the elements of an array, a piece of text after the other.

  Attributes:
    count: elements found.
    rest: the text of a cut-off last element; None for a whole file, empty
      where only the closing bracket is missing.
  """

  def __init__(self, source: Source):
    self._source = source
    # Whatever a string holds, its end is found.
    self._scan = json.JSONDecoder(strict=False).raw_decode
    self.count = 0
    self.rest: str | None = None

  def read(self, texts: Iterator[str]) -> Iterator[str]:
    """Yields the text of each element."""
    rest, closed = "", False
    # Before the first element, a value or the end may stand; then a comma.
    begun = False
    for text in texts:
      data, place = rest + text, 0
      while True:
        place = _skip(data, place)
        if place == len(data):
          break
        if closed:
          raise self._broken("something stands behind the array")
        if not begun:
          place, begun = place + 1, True  # The bracket that is_array saw.
          continue
        if data[place] == "]":
          place, closed = place + 1, True
          continue
        begin = place
        if self.count:
          if data[place] != ",":
            raise self._broken("no comma before it")
          begin = _skip(data, place + 1)
        end = self._end(data, begin)
        if end is None:
          break
        yield data[begin:end]
        self.count += 1
        place = end
      rest = data[place:]
      if len(rest) > text_lines.MAX_LINE_BYTES:
        raise self._broken("it has no end, or is too large")
    if not closed:
      self.rest = rest

  def _end(self, data: str, begin: int) -> int | None:
    """Where the element ends; None if it may go on behind `data`."""
    try:
      end = self._scan(data, begin)[1]
    except json.JSONDecodeError as error:
      # Inside of a string, the error names the place where it begins.
      if error.msg.startswith("Unterminated string"):
        return None
      if error.pos >= len(data.rstrip(_SPACE)) - 8:
        return None
      raise self._broken(error.msg.lower()) from error
    except RecursionError as error:
      raise self._broken("it is nested too deep") from error
    # A number at the end may go on in the next piece: `1`, `1.` and `1e-`
    # are read as 1.
    rest = data[end : end + 3]
    return None if len(rest) < 3 and not rest.strip(".eE+-") else end

  def _broken(self, what: str) -> UserError:
    return UserError(
        f"{self._source.path}: element {self.count + 1:,} of the JSON array is"
        f" broken ({what}), so the next one cannot be found. Repair the file,"
        " or write one object a line."
    )


def _skip(data: str, place: int) -> int:
  while place < len(data) and data[place] in _SPACE:
    place += 1
  return place


def _encode(lines: list[str]) -> bytes:
  text = "\n".join(lines) + "\n"
  return text.encode("utf-8", "surrogateescape")


def _texts(source: Source, encoding: str) -> Iterator[str]:
  # A byte that is no text stays itself, and costs its element alone.
  name = text_lines.text_encoding(encoding)
  decoder = codecs.getincrementaldecoder(name)("surrogateescape")
  for block in text_lines.read_blocks(source, encoding):
    yield decoder.decode(block)
  yield decoder.decode(b"", final=True)

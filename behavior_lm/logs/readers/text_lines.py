"""Reads text files as chunks of whole lines that are valid UTF-8.

Lines that cannot be text (invalid encoding, NUL bytes) are rejected here and
left blank, so that the numbers of the others stay right.
"""

import bz2
import codecs
from collections.abc import Callable, Iterator
import dataclasses
import gzip
import lzma
from typing import Any, BinaryIO
import zlib

import numpy as np
import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]

from behavior_lm.common.errors import first_line as error_line
from behavior_lm.common.errors import UserError
from behavior_lm.logs.readers import quarantine
from behavior_lm.logs.readers import source_file
from behavior_lm.logs.readers.source_file import Source

CHUNK_BYTES = 16 << 20
# A log with a longer line is no log of lines.
MAX_LINE_BYTES = 64 << 20
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_OPEN: dict[str, Callable[..., Any]] = {
    source_file.GZIP: gzip.open,
    source_file.BZ2: bz2.open,
    source_file.XZ: lzma.open,
}
# What reading a file raises that is damaged, cut off or on a bad disk.
_DAMAGED = (EOFError, OSError, zlib.error, lzma.LZMAError, pa.ArrowException)
# Encodings whose line feed is not the byte 10.
_WIDE = ("utf-16", "utf-32")
# Below this many lines a block is read line by line.
_FEW_LINES = 64


@dataclasses.dataclass(frozen=True)
class Lines:
  """Lines of a text file.

  Attributes:
    data: the bytes, every line ended by a line feed.
    begins: [n] where each line begins in `data`.
    ends: [n] where its line feed is.
    numbers: [n] line numbers in the file, 1-based.
  """

  data: bytes
  begins: np.ndarray
  ends: np.ndarray
  numbers: np.ndarray

  @classmethod
  def of(cls, data: bytes, first_number: int) -> "Lines":
    """Lines of `data`, whose first one has this number."""
    if data and not data.endswith(b"\n"):
      data += b"\n"
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == 10)
    begins = np.concatenate([[0], ends[:-1] + 1])[: len(ends)]
    return cls(data, begins, ends, first_number + np.arange(len(ends)))

  def __len__(self) -> int:
    return len(self.ends)

  def line(self, index: int) -> bytes:
    return self.data[self.begins[index] : self.ends[index]]

  def blank(self) -> np.ndarray:
    """[n] bool: nothing in the line, or a carriage return alone."""
    length = self.ends - self.begins
    codes = np.frombuffer(self.data, np.uint8)
    return (length == 0) | ((length == 1) & (codes[self.begins] == 13))

  def keep(self, mask: np.ndarray) -> "Lines":
    """The lines where [n] `mask` is true."""
    if mask.all():
      return self
    index = np.flatnonzero(mask)
    breaks = np.flatnonzero(np.diff(index) > 1) + 1
    data = b"".join(
        self.data[self.begins[run[0]] : self.ends[run[-1]] + 1]
        for run in np.split(index, breaks)
        if len(run)
    )
    lengths = self.ends[index] - self.begins[index]
    ends = np.cumsum(lengths + 1) - 1
    return Lines(data, ends - lengths, ends, self.numbers[index])

  def halves(self) -> tuple["Lines", "Lines"]:
    first = np.arange(len(self)) < len(self) // 2
    return self.keep(first), self.keep(~first)


def parse_in_halves(
    lines: Lines,
    parse: Callable[[bytes], pl.DataFrame],
    parse_slowly: Callable[[Lines], pl.DataFrame],
) -> Iterator[tuple[pl.DataFrame, np.ndarray]]:
  """Parses all lines fast but for small blocks around the odd ones.

  Args:
    lines: what to parse, one row a line.
    parse: reads bytes at once; may fail or lose count on a bad line.
    parse_slowly: reads line by line, rejects, and adds the column `row`.

  Yields:
    The rows and [rows] their line numbers.
  """
  if not len(lines):
    return
  try:
    frame = parse(lines.data)
  except pl.exceptions.PolarsError:
    frame = None
  if frame is not None and frame.height == len(lines):
    yield frame, lines.numbers
  elif len(lines) > _FEW_LINES:
    for half in lines.halves():
      yield from parse_in_halves(half, parse, parse_slowly)
  else:
    frame = parse_slowly(lines)
    yield frame.drop("row"), frame["row"].to_numpy()


def read_chunks(
    source: Source,
    encoding: str,
    rejected: quarantine.Quarantine,
    *,
    has_header: bool,
) -> Iterator[tuple[int, bytes, bool]]:
  """Yields (number of the first line, whole lines as UTF-8, is the last).

  Args:
    source: the file.
    encoding: of its text.
    rejected: gets the lines that are no text.
    has_header: refuse a file whose first line is no text; it is needed.

  Raises:
    UserError: if the file cannot be read as lines of text.
  """
  number, rest = 1, b""
  blocks = read_blocks(source, encoding)
  block = next(blocks, b"")
  _check_start(block, source, encoding, has_header=has_header)
  while True:
    following = next(blocks, None)
    data = rest + block
    cut = len(data) if following is None else data.rfind(b"\n") + 1
    data, rest = data[:cut], data[cut:]
    if len(rest) > MAX_LINE_BYTES:
      raise UserError(
          f"{source.path}: line {number + data.count(10):,} is longer than"
          f" {MAX_LINE_BYTES >> 20} MB. Is it a text log?"
      )
    text = _as_utf8(data, number, source, encoding, rejected)
    if text or following is None:
      yield number, text, following is None
    number += data.count(b"\n")
    if following is None:
      return
    block = following


def read_lines(
    source: Source, encoding: str, rejected: quarantine.Quarantine
) -> Iterator[tuple[list[int], list[str], bool]]:
  """Yields ([n] line numbers, [n] lines that are not blank, cut off).

  Args:
    source: the file; it has no header line.
    encoding: of its text.
    rejected: gets the lines that are no text.

  Raises:
    UserError: if the file cannot be read as lines of text.
  """
  for first, data, last in read_chunks(
      source, encoding, rejected, has_header=False
  ):
    lines = data.decode().split("\n")
    kept = [place for place, line in enumerate(lines) if line.strip()]
    numbers = [first + place for place in kept]
    # The last line of a file without a line feed at its end.
    cut_off = last and bool(kept) and kept[-1] == len(lines) - 1
    yield numbers, [lines[place].rstrip("\r") for place in kept], cut_off


def first_line(source: Source, encoding: str) -> str:
  """The first line that is not blank; empty for an empty file.

  Raises:
    UserError: if it is no text.
  """
  start = b""
  for block in read_blocks(source, encoding):
    start = (start + block).lstrip(b"\r\n")
    if b"\n" in start or len(start) > MAX_LINE_BYTES:
      break
  _check_start(start, source, encoding, has_header=True)
  line = start.split(b"\n", 1)[0].decode(text_encoding(encoding))
  return line.rstrip("\r")


def read_blocks(source: Source, encoding: str) -> Iterator[bytes]:
  """Yields the bytes of the file; UTF-8 where `encoding` is a wide one."""
  with open_file(source) as stream:
    first = True
    for block in _blocks(stream, source, encoding):
      yield block.removeprefix(codecs.BOM_UTF8) if first else block
      first = False


def _blocks(
    stream: BinaryIO, source: Source, encoding: str
) -> Iterator[bytes]:
  wide = _name(encoding).startswith(_WIDE)
  decoder = codecs.getincrementaldecoder(encoding)() if wide else None
  while True:
    try:
      block = stream.read(CHUNK_BYTES)
      if decoder is not None:
        block_text = decoder.decode(block, final=not block)
    except _DAMAGED as error:
      raise _damaged(source, error) from error
    except UnicodeDecodeError as error:
      raise UserError(
          f"{source.path}: is not {encoding} text ({error.reason}). Pass the"
          " right --encoding."
      ) from error
    if not block:
      return
    yield block if decoder is None else block_text.encode()


def open_file(source: Source) -> BinaryIO:
  """Opens the file for reading, unpacked."""
  path, how = source.path, source.compression
  if not how:
    return path.open("rb")
  opened: Any
  if how in (source_file.ZSTD, source_file.LZ4):
    opened = pa.CompressedInputStream(pa.OSFile(str(path)), how)
  else:
    opened = _OPEN[how](path, "rb")
  return opened


def _damaged(source: Source, error: Exception) -> UserError:
  how = source.compression or "file"
  cut = isinstance(error, EOFError) or "runcated" in str(error)
  if cut:
    return UserError(
        f"{source.path}: the {how} file is cut off; its end is missing. Copy"
        " it again, or unpack what is there and pass that."
    )
  name = f"{how} file" if source.compression else "file"
  what = "is damaged" if source.compression else "cannot be read"
  return UserError(
      f"{source.path}: the {name} {what} ({error_line(error)[:120]}). Copy it"
      " again."
  )


def _check_start(
    block: bytes, source: Source, encoding: str, *, has_header: bool
) -> None:
  """Refuses what is no text at all, with a word on what it may be."""
  if block.startswith(_UTF16_MARKS):
    raise UserError(f"{source.path}: is UTF-16 text. Pass --encoding utf-16.")
  start = block.lstrip(b"\r\n")
  first = start[: start.find(b"\n") + 1] or start
  if b"\0" in first:
    raise UserError(
        f"{source.path}: is not a text file (NUL bytes in its first line)."
        " Pass the right file, --format or --encoding."
    )
  if b"\r" in first[:-2] and b"\n" not in first:
    raise UserError(
        f"{source.path}: its lines end with carriage returns alone. Convert"
        " them: tr '\\r' '\\n' < FILE > NEW"
    )
  if has_header:
    try:
      first.decode(text_encoding(encoding))
    except UnicodeDecodeError as error:
      raise UserError(
          f"{source.path}: its first line is not {encoding} text (byte"
          f" 0x{first[error.start]:02x}). Pass the right file, --format or"
          " --encoding."
      ) from error


def _name(encoding: str) -> str:
  try:
    return codecs.lookup(encoding).name
  except LookupError as error:
    raise UserError(
        f"--encoding {encoding!r} is unknown; use utf-8, gbk, latin-1, utf-16"
        " or another name that Python knows."
    ) from error


def text_encoding(encoding: str) -> str:
  """Encoding of the bytes that `read_blocks` yields."""
  name = _name(encoding)
  decoded = name.startswith(_WIDE) or name in ("utf-8-sig", "ascii")
  return "utf-8" if decoded else name


def _as_utf8(
    data: bytes,
    number: int,
    source: Source,
    encoding: str,
    rejected: quarantine.Quarantine,
) -> bytes:
  """Checks the encoding; bad lines are rejected and left blank."""
  name = text_encoding(encoding)
  if b"\0" in data:
    data = _blank_lines(
        data,
        number,
        source,
        rejected,
        quarantine.NUL_BYTE,
        lambda line: b"\0" in line,
    )
  if data.isascii():
    return data
  try:
    text = data.decode(name)
  except UnicodeDecodeError:
    data = _blank_lines(
        data,
        number,
        source,
        rejected,
        quarantine.BAD_ENCODING,
        lambda line: not _decodes(line, name),
    )
    text = data.decode(name)
  return data if name == "utf-8" else text.encode()


def _decodes(line: bytes, encoding: str) -> bool:
  if line.isascii():
    return True
  try:
    line.decode(encoding)
  except UnicodeDecodeError:
    return False
  return True


def _blank_lines(
    data: bytes,
    number: int,
    source: Source,
    rejected: quarantine.Quarantine,
    reason: str,
    is_bad: Callable[[bytes], bool],
) -> bytes:
  """Rejects and empties the bad lines."""
  lines = data.split(b"\n")
  for index, line in enumerate(lines):
    if is_bad(line):
      rejected.add(source.name, number + index, reason, line)
      lines[index] = b""
  return b"\n".join(lines)

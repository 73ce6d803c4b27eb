from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import polars as pl
import pytest

from behavior_lm.logs.readers import text_lines
from behavior_lm.logs.readers.quarantine import Quarantine
from behavior_lm.logs.readers.source_file import compression_of
from behavior_lm.logs.readers.source_file import CSV
from behavior_lm.logs.readers.source_file import Source
from behavior_lm.logs.readers.text_lines import Lines
from behavior_lm.logs.readers.text_lines import parse_in_halves

_LINES = st.lists(
    st.binary(max_size=4).map(lambda line: line.replace(b"\n", b".")),
    max_size=12,
)


def content(lines):
  return [lines.line(index) for index in range(len(lines))]


@given(_LINES, st.booleans())
def test_lines_are_numbered_with_or_without_a_last_line_feed(parts, ended):
  data = b"".join(part + b"\n" for part in parts)
  if parts and parts[-1] and not ended:
    data = data[:-1]
  lines = Lines.of(data, 5)
  assert content(lines) == parts
  assert lines.numbers.tolist() == list(range(5, 5 + len(parts)))
  assert lines.blank().tolist() == [part in (b"", b"\r") for part in parts]


@given(_LINES, st.data())
def test_kept_lines_keep_their_content_and_numbers(parts, data):
  lines = Lines.of(b"".join(part + b"\n" for part in parts), 1)
  size = len(parts)
  flags = data.draw(st.lists(st.booleans(), min_size=size, max_size=size))
  kept = lines.keep(np.array(flags, bool))
  assert content(kept) == [p for p, f in zip(parts, flags, strict=True) if f]
  assert kept.numbers.tolist() == [n + 1 for n, f in enumerate(flags) if f]
  assert kept.data == b"".join(line + b"\n" for line in content(kept))


@given(st.sets(st.integers(0, 999), max_size=20))
def test_only_blocks_around_bad_lines_are_parsed_slowly(bad):
  lines = Lines.of(
      b"".join(b"x\n" if n in bad else b"7\n" for n in range(1_000)), 1
  )
  slow = []

  def parse(data):
    if b"x" in data:
      raise pl.exceptions.ComputeError("x")
    return pl.DataFrame({"value": data.split()})

  def parse_slowly(block):
    slow.extend(block.numbers.tolist())
    good = [
        int(number)
        for place, number in enumerate(block.numbers)
        if block.line(place) != b"x"
    ]
    return pl.DataFrame(
        {"row": good, "value": [b"7"] * len(good)},
        schema={"row": pl.Int64, "value": pl.Binary},
    )

  parts = list(parse_in_halves(lines, parse, parse_slowly))
  numbers = np.concatenate([numbers for _, numbers in parts])
  assert numbers.tolist() == [n + 1 for n in range(1_000) if n not in bad]
  assert sum(frame.height for frame, _ in parts) == len(numbers)
  assert len(slow) <= 64 * len(bad)


def source_of(path):
  data = path.read_bytes()
  return Source(path, path.name, CSV, compression_of(data), len(data))


def test_lines_come_with_their_numbers_and_without_blank_ones(
    tmp_path, monkeypatch
):
  path = tmp_path / "log"
  lines = [f"line {n}" if n % 3 else " \r" for n in range(1, 100)]
  path.write_text("\n".join(lines))
  monkeypatch.setattr(text_lines, "CHUNK_BYTES", 64)
  rejected = Quarantine(tmp_path / "q")
  found = list(text_lines.read_lines(source_of(path), "utf-8", rejected))
  rejected.close()
  assert len(found) > 5
  pairs = [
      pair
      for numbers, part, _ in found
      for pair in zip(numbers, part, strict=True)
  ]
  assert pairs == [(n, f"line {n}") for n in range(1, 100) if n % 3]


@pytest.mark.parametrize(
    ("text", "cut_off"),
    [("a\nb", True), ("a\nb\n", False), ("a\nb\n \n", False), ("a\n ", False)],
)
def test_only_a_last_line_without_its_end_may_be_cut_off(
    tmp_path, text, cut_off
):
  path = tmp_path / "log"
  path.write_text(text)
  rejected = Quarantine(tmp_path / "q")
  [found] = text_lines.read_lines(source_of(path), "utf-8", rejected)
  rejected.close()
  assert found[2] is cut_off


@pytest.mark.parametrize("encoding", ["utf-8", "gbk", "utf-16", "utf-8-sig"])
def test_the_first_line_is_read_without_the_rest(tmp_path, encoding):
  path = tmp_path / "log"
  path.write_bytes("\r\n\u7389 a\r\nb\n".encode(encoding))
  assert text_lines.first_line(source_of(path), encoding) == "\u7389 a"
  path.write_bytes(b"")
  assert text_lines.first_line(source_of(path), encoding) == ""

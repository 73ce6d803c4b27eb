from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import polars as pl

from behavior_lm.data.text_lines import Lines
from behavior_lm.data.text_lines import parse_in_halves

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

"""Random dirt over valid logs: the readers lose and change nothing.

The generic formats alone, read and cleaned; nothing is written.

`make fuzz` runs many more inputs than the tests do (BEHAVIOR_LM_FUZZ).
"""

import json
import os
import pathlib
import tempfile

from hypothesis import given
from hypothesis import HealthCheck
from hypothesis import settings
from hypothesis import strategies as st
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.logs import formats
from behavior_lm.logs import schema
from behavior_lm.logs.readers import clean
from behavior_lm.logs.readers import quarantine
from behavior_lm.logs.readers import sources
from behavior_lm.logs.readers import timestamps

_COUNT = int(os.environ.get("BEHAVIOR_LM_FUZZ", "250"))
_RUN = settings(
    max_examples=_COUNT,
    derandomize=_COUNT == 250,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
_IDS = (schema.USER_ID, schema.EVENT_ID, schema.DESIGN_ID)
_ODD = [
    "NULL", "\\N", "1.0", "-0", "1e3", " a ", "e\u0301", "\u00e9", "nan", "a,b",
    'say "x"', "two\nlines", "{}", "[1]", "0", "\u200b", "'", ";", "\t", "True",
]  # fmt: skip
_ID = st.sampled_from(_ODD) | st.text(
    st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=8
)
_TIME = st.sampled_from([
    "2024-03-04", "2024-03-04 10:00:00", "2024-03-04T10:00:00Z", "", "soon",
    "2024-13-01", "1717200000", "99999999999999999999", "-1", "01.06.2024",
    "06/13/2024", "20240601", "nan",
])  # fmt: skip
_ROWS = st.lists(st.tuples(_ID, _ID, _ID, _TIME), min_size=1, max_size=12)
# Bytes that are put into a file: at a place (a share of it), instead of some.
_DIRT = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.sampled_from([
            b"", b"\n", b'"', b",", b"\0", b"\xff", b"\r\n", b"{", b"}",
            b"\\", b"\n\n\n", b"\xef\xbb\xbf", b"PAR1", b"]", b"1e999",
        ]),  # fmt: skip
        st.integers(0, 5),
    ),
    max_size=3,
)


def as_csv(rows, separator=","):
  frame = pl.DataFrame(rows, schema=list(schema.EVENT_COLUMNS), orient="row")
  return frame.write_csv(separator=separator, quote_style="always").encode()


def as_jsonl(rows):
  return b"".join(
      json.dumps(dict(zip(schema.EVENT_COLUMNS, row, strict=True))).encode()
      + b"\n"
      for row in rows
  )


def as_array(rows):
  return b"[" + as_jsonl(rows).strip().replace(b"}\n{", b"},\n{") + b"]"


def as_parquet(rows):
  frame = pl.DataFrame(rows, schema=list(schema.EVENT_COLUMNS), orient="row")
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "x"
    frame.write_parquet(path)
    return path.read_bytes()


FORMATS = {
    "a.csv": as_csv,
    "a.tsv": lambda rows: as_csv(rows, "\t"),
    "a.jsonl": as_jsonl,
    "a.json": as_array,
    "a.parquet": as_parquet,
}


def soiled(data, dirt):
  for place, put, instead in dirt:
    at = int(place * len(data))
    data = data[:at] + put + data[at + instead :]
  return data


def ingest(name, data):
  """Good rows and the number of rejected ones; None if the log is refused."""
  with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    (folder / "log").mkdir()
    (folder / "log" / name).write_bytes(data)
    rejected = quarantine.Quarantine(folder / "rejected.jsonl")
    times = timestamps.TimeReader("UTC")
    found = []
    try:
      for source in sources.find_sources(str(folder / "log")).files:
        for raw in formats.read(
            source, log_format="auto", columns={}, extras=[],
            encoding="utf-8", rejected=rejected,
        ):  # fmt: skip
          found.append(
              clean.clean(
                  raw, file=source.name, times=times, rejected=rejected
              )
          )
    except UserError:
      return None
    finally:
      rejected.close()
    lines = (folder / "rejected.jsonl").read_text().splitlines()
    assert len(lines) == rejected.total
    return pl.concat(found) if found else pl.DataFrame(), rejected.total


@pytest.mark.slow
@_RUN
@given(st.sampled_from(list(FORMATS)), _ROWS)
def test_every_row_is_kept_as_it_is_or_rejected(name, rows):
  found = ingest(name, FORMATS[name](rows))
  assert found is not None
  frame, rejected = found
  assert frame.height + rejected == len(rows)
  given_ids = [
      (user, event, design or schema.NO_DESIGN)
      for user, event, design, _ in rows
  ]
  # What is kept are rows of the log, in its order, letter by letter.
  left = iter(given_ids)
  kept = frame.select(_IDS).rows() if frame.height else []
  assert all(row in left for row in kept)


@pytest.mark.slow
@_RUN
@given(st.sampled_from(list(FORMATS)), _ROWS, _DIRT)
def test_dirt_in_a_file_is_a_rejected_row_or_a_message(name, rows, dirt):
  found = ingest(name, soiled(FORMATS[name](rows), dirt))
  if found is not None and not dirt:
    assert found[0].height + found[1] == len(rows)

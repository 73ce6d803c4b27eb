"""S3-Rec's lines: a user and all of its items in order, and no times.

  1 17 4
  2 17

becomes user 1 with the events (interaction, 17), (interaction, 4) and user 2
with (interaction, 17). Events are counted through the file, and the count, in
seconds from 1970 on, stands for the time: --unit user, as for `sasrec`.
"""

from collections.abc import Iterator

import polars as pl

from behavior_lm.logs import schema
from behavior_lm.logs.formats import log_format
from behavior_lm.logs.formats.log_format import LogFormat
from behavior_lm.logs.formats.log_format import Request
from behavior_lm.logs.formats.sasrec import EVENT
from behavior_lm.logs.readers import clean
from behavior_lm.logs.readers import quarantine
from behavior_lm.logs.readers import text_lines
from behavior_lm.logs.readers.source_file import Source


def _read(source: Source, request: Request) -> Iterator[pl.DataFrame]:
  log_format.refuse_columns(request, "s3rec")
  log_format.refuse_extras(request, "s3rec")
  events = 0
  for numbers, lines, cut_off in text_lines.read_lines(
      source, request.encoding, request.rejected
  ):
    rows: list[int] = []
    users: list[str] = []
    items: list[str] = []
    for row, line in zip(numbers, lines, strict=True):
      fields = line.split()
      if len(fields) < 2:
        ends_here = cut_off and row == numbers[-1]
        why = quarantine.CUT_OFF if ends_here else quarantine.FIELD_COUNT
        request.rejected.add(source.name, row, why, line)
        continue
      rows += [row] * (len(fields) - 1)
      users += fields[:1] * (len(fields) - 1)
      items += fields[1:]
    places = pl.Series(range(events + 1, events + len(rows) + 1))
    events += len(rows)
    yield pl.DataFrame({
        clean.ROW: pl.Series(rows, dtype=pl.Int64),
        schema.USER_ID: pl.Series(users, dtype=pl.String),
        schema.EVENT_ID: pl.Series([EVENT] * len(rows), dtype=pl.String),
        schema.DESIGN_ID: pl.Series(items, dtype=pl.String),
        schema.TIMESTAMP: log_format.ordinal(places),
    })


S3REC = LogFormat(
    summary="S3-Rec: `user item item ...` in order, no times (--unit user)",
    read=_read,
    files=("*.txt", "*.txt.gz"),
    ordinal=True,
)

"""SASRec's `user item` lines: the order of each user's items, and no times.

  1 17
  1 4
  2 17

becomes user 1 with the events (interaction, 17), (interaction, 4) and user 2
with (interaction, 17). The number of the line, in seconds from 1970 on, stands
for the time, so a user's lines belong into one file and days mean nothing:
--unit user.
"""

from collections.abc import Iterator

import polars as pl

from behavior_lm.logs import schema
from behavior_lm.logs.formats import log_format
from behavior_lm.logs.formats.log_format import LogFormat
from behavior_lm.logs.formats.log_format import Request
from behavior_lm.logs.readers import clean
from behavior_lm.logs.readers import quarantine
from behavior_lm.logs.readers import text_lines
from behavior_lm.logs.readers.source_file import Source

EVENT = "interaction"
_LINE = r"^\s*(?P<user>\S+)\s+(?P<item>\S+)\s*$"


def _read(source: Source, request: Request) -> Iterator[pl.DataFrame]:
  log_format.refuse_columns(request, "sasrec")
  log_format.refuse_extras(request, "sasrec")
  for numbers, lines, cut_off in text_lines.read_lines(
      source, request.encoding, request.rejected
  ):
    frame = log_format.text_frame(numbers, lines)
    parts = frame[log_format.TEXT].str.extract_groups(_LINE).struct.unnest()
    frame = frame.hstack(parts)
    for row, line in (
        frame.filter(pl.col("user").is_null())
        .select(clean.ROW, log_format.TEXT)
        .iter_rows()
    ):
      ends_here = cut_off and row == numbers[-1]
      why = quarantine.CUT_OFF if ends_here else quarantine.FIELD_COUNT
      request.rejected.add(source.name, row, why, line)
    frame = frame.filter(pl.col("user").is_not_null())
    yield frame.select(
        clean.ROW,
        pl.col("user").alias(schema.USER_ID),
        pl.lit(EVENT).alias(schema.EVENT_ID),
        pl.col("item").alias(schema.DESIGN_ID),
        log_format.ordinal(frame[clean.ROW]).alias(schema.TIMESTAMP),
    )


SASREC = LogFormat(
    summary="SASRec: `user item` lines in order, no times (--unit user)",
    read=_read,
    files=("*.txt", "*.txt.gz"),
    ordinal=True,
)

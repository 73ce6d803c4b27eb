"""A game's days as words: `event#design#time` after the user and the day.

  7001_2019-03-26:400227#0#2019-03-26-06:18:12 400027#161#2019-03-26-06:18:13

becomes user 7001 with the events (400227, none) and (400027, 161). Lines that
begin with the day alone belong to the user in the name of the file. The day is
not needed: each word has its time. A bad word is rejected alone.
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

_HEAD = r"^(?:(?P<user>\S*)_)?(?P<day>\d{4}-\d{2}-\d{2})$"
# The hyphen between the day and the hour is a space for us. No other way of
# writing: `2019-03-26-06`, cut off, would be a day with an offset.
_TIME = r"(\d{4}-\d{2}-\d{2})-(\d{2}:\d{2}:\d{2})$"
# Lines of a batch; each may hold tens of thousands of words.
_LINES = 500


def _read(source: Source, request: Request) -> Iterator[pl.DataFrame]:
  log_format.refuse_columns(request, "justice_words")
  log_format.refuse_extras(request, "justice_words")
  for numbers, lines, cut_off in text_lines.read_lines(
      source, request.encoding, request.rejected
  ):
    for begin in range(0, len(lines), _LINES):
      end = begin + _LINES
      last = numbers[-1] if cut_off and end >= len(lines) else None
      batch = log_format.text_frame(numbers[begin:end], lines[begin:end])
      yield _as_events(batch, last, source, request)


def _as_events(
    batch: pl.DataFrame, cut_off: int | None, source: Source, request: Request
) -> pl.DataFrame:
  """The words of some lines.

  Args:
    batch: row and text.
    cut_off: the row that may lack its end.
    source: the file.
    request: what to read of it.
  """
  text = pl.col(log_format.TEXT)
  # The head is cut off first: a pattern over the whole line takes long.
  parts = batch[log_format.TEXT].str.splitn(":", 2).struct.unnest()
  heads = batch.hstack(
      parts["field_0"].str.extract_groups(_HEAD).struct.unnest()
  ).with_columns(parts["field_1"].alias("words"))
  begun = pl.col("day").is_not_null() & pl.col("words").is_not_null()
  no_head = heads.filter(~begun)
  words = (
      heads.filter(begun)
      .select(
          clean.ROW,
          pl.col("user").fill_null(log_format.user_of_file(source)),
          pl.col("words").str.split(" ").alias(log_format.TEXT),
      )
      .explode(log_format.TEXT)
      .with_columns(text.str.strip_chars())
      .filter(text != "")
  )
  whole = text.str.count_matches("#", literal=True) == 2
  good = whole & text.str.contains("#" + _TIME)
  bad = words.filter(~good)
  if no_head.height or bad.height:
    last = None
    if cut_off is not None:
      # Of the words of a line, only the last one can be cut off.
      ends = words.filter(pl.col(clean.ROW) == cut_off)[log_format.TEXT]
      last = (cut_off, ends[-1] if len(ends) else None)
    rows = pl.concat([
        frame.select(clean.ROW, log_format.TEXT, whole=whole)
        for frame in (no_head, bad)
    ]).sort(clean.ROW, maintain_order=True)
    for row, word, has_fields in rows.iter_rows():
      why = quarantine.FIELD_COUNT
      if cut_off == row and last in ((row, word), (row, None)):
        why = quarantine.CUT_OFF
      elif has_fields:
        why = quarantine.UNREADABLE_TIME
      request.rejected.add(source.name, row, why, word)
  fields = words.filter(good).with_columns(text.str.split_exact("#", 2))
  field = pl.col(log_format.TEXT).struct
  return fields.select(
      clean.ROW,
      pl.col("user").alias(schema.USER_ID),
      field[0].alias(schema.EVENT_ID),
      field[1].alias(schema.DESIGN_ID),
      field[2].str.replace(_TIME, "$1 $2").alias(schema.TIMESTAMP),
  )


JUSTICE_WORDS = LogFormat(
    summary="game days: `user_day:event#design#time event#design#time ...`",
    read=_read,
    files=("*",),
)

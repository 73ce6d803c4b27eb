"""A game's events as `time#level#event#design`, one file a user.

The file USER holds one JSON list of such texts, or one of them a line:

  ["2019-12-04 00:34:58#085#400587#0", "2019-12-04 01:23:25#085#400027#161"]

becomes user USER with the events (400587, none) and (400027, 161); the level
is a numeric extra column.
"""

from collections.abc import Iterator
import json
from typing import Any

import polars as pl

from behavior_lm.logs import schema
from behavior_lm.logs.formats import log_format
from behavior_lm.logs.formats.log_format import LogFormat
from behavior_lm.logs.formats.log_format import Request
from behavior_lm.logs.readers import clean
from behavior_lm.logs.readers import json_array
from behavior_lm.logs.readers import quarantine
from behavior_lm.logs.readers import text_lines
from behavior_lm.logs.readers.source_file import Source


def _read(source: Source, request: Request) -> Iterator[pl.DataFrame]:
  log_format.refuse_columns(request, "justice_level")
  log_format.refuse_extras(request, "justice_level", ("level",))
  if json_array.is_array(source, request.encoding):
    for first, data, _ in json_array.read_elements(
        source, request.encoding, request.rejected
    ):
      texts = [_text(line) for line in data.splitlines()]
      numbers = list(range(first, first + len(texts)))
      batch = log_format.text_frame(numbers, texts)
      yield _as_events(batch, None, source, request)
  else:
    for numbers, lines, cut_off in text_lines.read_lines(
        source, request.encoding, request.rejected
    ):
      last = numbers[-1] if cut_off else None
      batch = log_format.text_frame(numbers, lines)
      yield _as_events(batch, last, source, request)


def _text(element: bytes) -> str:
  """The text of a JSON string; of anything else, what stands there."""
  try:
    found: Any = json.loads(element)
  except ValueError:
    found = None
  if isinstance(found, str):
    return found
  return element.decode("utf-8", "backslashreplace")


def _as_events(
    batch: pl.DataFrame, cut_off: int | None, source: Source, request: Request
) -> pl.DataFrame:
  """The events of some texts; `cut_off`: the row that may lack its end."""
  text = pl.col(log_format.TEXT)
  good = text.str.count_matches("#", literal=True) == 3
  for row, line in batch.filter(~good).iter_rows():
    why = quarantine.CUT_OFF if row == cut_off else quarantine.FIELD_COUNT
    request.rejected.add(source.name, row, why, line)
  fields = batch.filter(good).with_columns(
      text.str.strip_chars().str.split_exact("#", 3)
  )
  field = pl.col(log_format.TEXT).struct
  return fields.select(
      clean.ROW,
      pl.lit(log_format.user_of_file(source)).alias(schema.USER_ID),
      field[2].alias(schema.EVENT_ID),
      field[3].alias(schema.DESIGN_ID),
      field[0].alias(schema.TIMESTAMP),
      *(field[1].alias(name) for name in request.extras),
  )


JUSTICE_LEVEL = LogFormat(
    summary="game events: `time#level#event#design`, a line or list a user",
    read=_read,
    files=("*",),
    extras=("level",),
)

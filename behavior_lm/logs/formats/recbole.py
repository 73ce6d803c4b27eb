"""RecBole's atomic files of interactions (.inter), MovieLens among them.

Tabs between the fields, and a header that names each field and its type:

  user_id:token	item_id:token	rating:float	timestamp:float
  5	88	4	881250949

becomes user 5 with the event (interaction, 88). Other fields are extra
columns by request, by their names before the colon; the types in the header
do not count: --extras rating,genre:cat. Names that differ are mapped without
their types: --columns design_id=movie_id.
"""

from collections.abc import Iterator
import dataclasses

import polars as pl

from behavior_lm.logs import schema
from behavior_lm.logs.formats import log_format
from behavior_lm.logs.formats.log_format import LogFormat
from behavior_lm.logs.formats.log_format import Request
from behavior_lm.logs.readers import delimited
from behavior_lm.logs.readers import text_lines
from behavior_lm.logs.readers.source_file import Source

EVENT = "interaction"


def _read(source: Source, request: Request) -> Iterator[pl.DataFrame]:
  # Where the log names no behaviour, every item is the same event.
  unnamed = schema.EVENT_ID not in request.columns
  request = request.over({schema.DESIGN_ID: "item_id"})
  if unnamed:
    item = request.columns[schema.DESIGN_ID]
    request = request.over({schema.EVENT_ID: item})
  header = text_lines.first_line(source, request.encoding)
  names = {name.split(":")[0]: name for name in header.split("\t")}
  wanted = {
      ours: request.columns.get(ours, ours)
      for ours in (*schema.EVENT_COLUMNS, *request.extras)
  }
  typed = {ours: names.get(theirs, theirs) for ours, theirs in wanted.items()}
  request = dataclasses.replace(request, columns=typed)
  for frame in delimited.read_delimited(
      source,
      request.columns,
      request.encoding,
      request.rejected,
      request.extras,
      separator="\t",
  ):
    yield log_format.name_event(frame, EVENT) if unnamed else frame


RECBOLE = LogFormat(
    summary="RecBole .inter (MovieLens): user_id:token, item_id:token, ...",
    read=_read,
    files=("*.inter", "*.inter.gz"),
)

"""A game's sessions as JSON lists of events, one file a user's session.

The file `USER.BEGIN.END.json` holds one array; a design id is there only
where the event has one, and the level is text with zeros in front:

  [{"log_id": "400027", "role_grade": "012", "design_id": "161",
    "timestamp": "2019-08-14 20:20:01"},
   {"log_id": "400031", "role_grade": "012",
    "timestamp": "2019-08-14 20:20:04"}]

becomes user USER with the events (400027, 161) and (400031, none); the level
is a numeric extra column, missing where the log does not know it.
"""

from collections.abc import Iterator

import polars as pl

from behavior_lm.logs import schema
from behavior_lm.logs.formats import log_format
from behavior_lm.logs.formats.log_format import LogFormat
from behavior_lm.logs.formats.log_format import Request
from behavior_lm.logs.readers import jsonl
from behavior_lm.logs.readers.source_file import Source

_COLUMNS = {schema.EVENT_ID: "log_id", schema.USER_ID: "log_id"}


def _read(source: Source, request: Request) -> Iterator[pl.DataFrame]:
  columns = _COLUMNS
  if "level" in request.extras:
    columns = columns | {"level": "role_grade"}
  user = pl.lit(log_format.user_of_file(source))
  for frame in jsonl.read_jsonl(
      source,
      request.over(columns).columns,
      request.encoding,
      request.rejected,
      request.extras,
      optional=("level",),
  ):
    yield frame.with_columns(user.alias(schema.USER_ID))


JUSTICE_JSON = LogFormat(
    summary="game sessions: JSON list of log_id, design_id, timestamp",
    read=_read,
    files=("*.json", "*.json.gz"),
    extras=("level",),
)

"""Amazon reviews (2014 and 2018 editions): JSON lines, gz, or one array.

  {"reviewerID": "A1", "asin": "B09", "overall": 4.0,
   "unixReviewTime": 1441324800, "reviewText": "...", "verified": true}

(on one line) becomes user A1 with the event (review, B09); the stars are the
numeric extra column `rating`. Further keys are read by request, `verified` as
a category: --extras rating,verified. Times are whole days: the order inside of
a day is the file's. The 2023 edition has other keys: --columns
user_id=user_id,design_id=parent_asin,timestamp=timestamp,rating=rating
"""

from collections.abc import Iterator

import polars as pl

from behavior_lm.logs import schema
from behavior_lm.logs.formats import log_format
from behavior_lm.logs.formats.log_format import LogFormat
from behavior_lm.logs.formats.log_format import Request
from behavior_lm.logs.readers import jsonl
from behavior_lm.logs.readers.source_file import Source

EVENT = "review"
_COLUMNS = {
    schema.USER_ID: "reviewerID",
    schema.DESIGN_ID: "asin",
    schema.TIMESTAMP: "unixReviewTime",
}


def _read(source: Source, request: Request) -> Iterator[pl.DataFrame]:
  columns = request.over(_COLUMNS).columns
  columns = {schema.EVENT_ID: columns[schema.DESIGN_ID]} | columns
  if "rating" in request.extras:
    columns = {"rating": "overall"} | columns
  for frame in jsonl.read_jsonl(
      source, columns, request.encoding, request.rejected, request.extras
  ):
    yield log_format.name_event(frame, EVENT)


AMAZON = LogFormat(
    summary="Amazon reviews: JSON lines, gz or one array",
    read=_read,
    files=("*.json", "*.json.gz", "*.jsonl", "*.jsonl.gz"),
    extras=("rating",),
    categories=("verified",),
)

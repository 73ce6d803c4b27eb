"""Tianchi's mobile recommendation log (tianchi_mobile_recommend_train_user).

A header line, behaviour codes 1 to 4 and whole hours:

  user_id,item_id,behavior_type,user_geohash,item_category,time
  11,501,1,,77,2014-12-06 02
  11,501,4,94ek6ke,77,2014-12-06 03

becomes user 11 with the events (click, 501) and (buy, 501); 2 is fav and 3 is
cart, and a code that is none of them is kept as it is. The category is a
categorical extra column. The geohash, which most rows lack, is read by
request: --extras category,user_geohash. Times are China's. Within one hour the
order is the file's.
"""

from collections.abc import Iterator

import polars as pl

from behavior_lm.logs import schema
from behavior_lm.logs.formats.log_format import LogFormat
from behavior_lm.logs.formats.log_format import Request
from behavior_lm.logs.readers import delimited
from behavior_lm.logs.readers.source_file import Source

BEHAVIOURS = {"1": "click", "2": "fav", "3": "cart", "4": "buy"}
_COLUMNS = {
    schema.EVENT_ID: "behavior_type",
    schema.DESIGN_ID: "item_id",
    schema.TIMESTAMP: "time",
}
_HOUR = r"^\s*\d{4}-\d{2}-\d{2} \d{2}\s*$"


def _read(source: Source, request: Request) -> Iterator[pl.DataFrame]:
  columns = _COLUMNS
  if "category" in request.extras:
    columns = columns | {"category": "item_category"}
  time = pl.col(schema.TIMESTAMP)
  for frame in delimited.read_delimited(
      source,
      request.over(columns).columns,
      request.encoding,
      request.rejected,
      request.extras,
  ):
    yield frame.with_columns(
        pl.col(schema.EVENT_ID).replace(BEHAVIOURS),
        pl.when(time.str.contains(_HOUR))
        .then(time.str.strip_chars() + ":00")
        .otherwise(time)
        .alias(schema.TIMESTAMP),
    )


TIANCHI = LogFormat(
    summary="Tianchi: user, item, behaviour 1-4, geohash, category, time",
    read=_read,
    files=("*user*.csv", "*user*.csv.gz"),
    extras=("category",),
    categories=("category", "user_geohash"),
    timezone="Asia/Shanghai",
)

"""Taobao's UserBehavior.csv: clicks, favourites, carts and purchases.

No header line. The columns are user, item, category of the item, behaviour
(pv, fav, cart, buy) and seconds since 1970:

  7,2001,88,pv,1511658000
  7,2001,88,buy,1511658300

becomes user 7 with the events (pv, 2001) and (buy, 2001); the category is a
categorical extra column. Days are China's, as in the paper that the data comes
with. The published file holds times far outside of its nine days; those that
are no possible time are rejected, the others cut with --split_time.
"""

from collections.abc import Iterator

import polars as pl

from behavior_lm.logs import schema
from behavior_lm.logs.formats.log_format import LogFormat
from behavior_lm.logs.formats.log_format import Request
from behavior_lm.logs.readers import delimited
from behavior_lm.logs.readers.source_file import Source

NAMES = ("user_id", "item_id", "category", "behavior", "timestamp")
_COLUMNS = {schema.EVENT_ID: "behavior", schema.DESIGN_ID: "item_id"}


def _read(source: Source, request: Request) -> Iterator[pl.DataFrame]:
  yield from delimited.read_delimited(
      source,
      request.over(_COLUMNS).columns,
      request.encoding,
      request.rejected,
      request.extras,
      names=NAMES,
      separator=",",
  )


TAOBAO = LogFormat(
    summary="Taobao UserBehavior: user, item, category, behaviour, seconds",
    read=_read,
    files=("userbehavior*.csv", "userbehavior*.csv.gz"),
    extras=("category",),
    categories=("category",),
    timezone="Asia/Shanghai",
)

"""CoLLM's click-through tables: one shown item a row, with the history.

Parquet with the columns uid, iid, label, timestamp (seconds) and `his`, the
items that the user liked before:

  uid=4 iid=96 label=1 timestamp=1040544350 his=[0, 38, 39]

becomes user 4 with the event (like, 96), or (dislike, 96) for label 0. The
history is not read: each of its items is a row with label 1 in one of the
files train, valid or test, so give the folder of all three and cut with
--split_time. Other columns are read by request: --extras not_cold.
"""

from collections.abc import Iterator

import polars as pl

from behavior_lm.logs import schema
from behavior_lm.logs.formats.log_format import LogFormat
from behavior_lm.logs.formats.log_format import Request
from behavior_lm.logs.readers import parquet_log
from behavior_lm.logs.readers.source_file import Source

EVENTS = {"1": "like", "0": "dislike"}
_COLUMNS = {
    schema.USER_ID: "uid",
    schema.EVENT_ID: "label",
    schema.DESIGN_ID: "iid",
}


def _read(source: Source, request: Request) -> Iterator[pl.DataFrame]:
  columns = request.over(_COLUMNS).columns
  for frame in parquet_log.read_parquet(
      source, columns, request.extras, request.rejected
  ):
    yield frame.with_columns(pl.col(schema.EVENT_ID).replace(EVENTS))


COLLM = LogFormat(
    summary="CoLLM Parquet: uid, iid, label (like or dislike), timestamp",
    read=_read,
    # valid_small.parquet repeats rows of valid.parquet.
    files=("train.parquet", "valid.parquet", "test.parquet"),
    parquet=True,
)

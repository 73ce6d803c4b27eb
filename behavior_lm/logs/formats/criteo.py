r"""Criteo's display advertising log: one shown advertisement a row.

Tabs between 40 fields and no header in the original; the samples that go
around have commas and a header (`label` or `Id,Label`, I1 .. I13, C1 .. C26):

  1	4		7	...	05db9164	8a4f1ed0	...

There is neither a user nor a time in it. So each row is one short sequence: a
user of its own, named `FILE:LINE` or by its Id, whose events are the
categorical fields that are filled, in their order: (C1, 05db9164),
(C2, 8a4f1ed0), ... The place of the field stands for the time. The numeric
fields and the label are no events; they are numeric extra columns by request,
and C1 .. C26 categorical ones, the same for all events of the row: --extras
i1,i2,c1,label. The label tells what a model should predict: keep it out of its
inputs.
"""

from collections.abc import Iterator

import polars as pl

from behavior_lm.logs import schema
from behavior_lm.logs.formats import log_format
from behavior_lm.logs.formats.log_format import LogFormat
from behavior_lm.logs.formats.log_format import Request
from behavior_lm.logs.readers import clean
from behavior_lm.logs.readers import delimited
from behavior_lm.logs.readers import text_lines
from behavior_lm.logs.readers.source_file import Source

_NUMBERS = tuple(f"I{place}" for place in range(1, 14))
FIELDS = tuple(f"C{place}" for place in range(1, 27))
NAMES = ("label", *_NUMBERS, *FIELDS)
_CATEGORIES = tuple(name.lower() for name in FIELDS)
_EXTRAS = ("label", *(name.lower() for name in _NUMBERS), *_CATEGORIES)


def _read(source: Source, request: Request) -> Iterator[pl.DataFrame]:
  log_format.refuse_columns(request, "criteo")
  log_format.refuse_extras(request, "criteo", _EXTRAS)
  first = text_lines.first_line(source, request.encoding)
  separator = max("\t,", key=first.count)
  header = [name.strip() for name in first.split(separator)]
  names = None
  if header[-1] != FIELDS[-1]:
    # The test file of the original has no label.
    names = NAMES if len(header) == len(NAMES) else NAMES[1:]
  ours = {name.lower(): name for name in (names or header)}
  # A column that is always there stands for what is made of the row below.
  stand_in = FIELDS[0]
  columns = dict.fromkeys(schema.EVENT_COLUMNS, stand_in)
  columns |= {name: ours.get(name, name) for name in request.extras}
  fields = {"_" + name: name for name in FIELDS}
  if "id" in ours:
    columns[schema.USER_ID] = ours["id"]
  for frame in delimited.read_delimited(
      source,
      columns | fields,
      request.encoding,
      request.rejected,
      (*request.extras, *fields),
      names=names,
      separator=separator,
  ):
    if "id" not in ours:
      row = pl.col(clean.ROW).cast(pl.String)
      name = pl.lit(source.name + ":") + row
      frame = frame.with_columns(name.alias(schema.USER_ID))
    yield _as_events(frame, request.extras)


def _as_events(frame: pl.DataFrame, extras: tuple[str, ...]) -> pl.DataFrame:
  """One row an impression -> one row a categorical field that is filled."""
  fields = ["_" + name for name in FIELDS]
  kept = [clean.ROW, schema.USER_ID, *extras]
  filled = pl.col(schema.DESIGN_ID).str.strip_chars().fill_null("") != ""
  # A row without any field keeps one empty event, which gets rejected.
  empty = pl.all_horizontal(
      pl.col(field).str.strip_chars().fill_null("") == "" for field in fields
  )
  events = (
      frame.select(*kept, *fields, empty.alias("_empty"))
      .unpivot(
          on=fields,
          index=[*kept, "_empty"],
          variable_name=schema.EVENT_ID,
          value_name=schema.DESIGN_ID,
      )
      .with_columns(pl.col(schema.EVENT_ID).str.slice(1))
      .with_columns(
          pl.col(schema.EVENT_ID).str.slice(1).cast(pl.Int64).alias("_place")
      )
      .filter(filled | (pl.col("_empty") & (pl.col("_place") == 1)))
      .sort(clean.ROW, "_place")
  )
  return events.select(
      clean.ROW,
      schema.USER_ID,
      pl.when(filled).then(schema.EVENT_ID).alias(schema.EVENT_ID),
      schema.DESIGN_ID,
      log_format.ordinal(events["_place"]).alias(schema.TIMESTAMP),
      *extras,
  )


CRITEO = LogFormat(
    summary="Criteo: label, I1-I13, C1-C26 (tabs, commas); a row is a user",
    read=_read,
    files=("*criteo*.txt", "*criteo*.csv", "train*.txt", "train*.csv"),
    categories=_CATEGORIES,
    ordinal=True,
)

"""Items and times of SASRec's followers: two files with aligned lines.

`shop_item_rank.txt` has a user and its items on each line, and beside it
`shop_time_rank.txt` (the same name with `time` for `item`) the user and the
seconds since 1970:

  1 17 4 9        1 1318896000 1318896000 1328140800

becomes user 1 with (interaction, 17), (interaction, 4) and (interaction, 9) at
these times. Times are often whole days; the order of ties is the file's. Give
the item file, or the folder of both.
"""

from collections.abc import Iterator
import itertools
import pathlib

import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.logs import schema
from behavior_lm.logs.formats import log_format
from behavior_lm.logs.formats.log_format import LogFormat
from behavior_lm.logs.formats.log_format import Request
from behavior_lm.logs.readers import clean
from behavior_lm.logs.readers import quarantine
from behavior_lm.logs.readers import source_file
from behavior_lm.logs.readers import text_lines
from behavior_lm.logs.readers.source_file import Source

EVENT = "interaction"
NOT_ALIGNED = "items and times of the line do not belong together"
# Lines of a batch; each may hold a long history.
_LINES = 10_000
_TEXTS = (schema.USER_ID, schema.DESIGN_ID, schema.TIMESTAMP)
_Line = tuple[int, str, bool]


def partners(path: pathlib.Path) -> list[pathlib.Path]:
  """The file that is read together with this one."""
  for ours, theirs in (("item", "time"), ("time", "item")):
    if ours in path.name:
      return [path.with_name(path.name.replace(ours, theirs, 1))]
  raise UserError(
      f"{path}: --format sasrec_time tells items from times by the names of"
      " the files, and there is neither `item` nor `time` in this one."
  )


def _read(source: Source, request: Request) -> Iterator[pl.DataFrame]:
  log_format.refuse_columns(request, "sasrec_time")
  log_format.refuse_extras(request, "sasrec_time")
  [partner] = partners(source.path)
  if not partner.is_file():
    raise UserError(f"{source.path}: {partner.name} is missing beside it.")
  if "item" not in source.path.name:
    return  # Its lines are read with those of the items.
  times = Source(
      partner,
      partner.name,
      source.format,
      source_file.compression_of(partner.read_bytes()[:8]),
      partner.stat().st_size,
  )
  pairs = _aligned(_lines(source, request), _lines(times, request))
  while batch := list(itertools.islice(pairs, _LINES)):
    yield _as_events(batch, source, request)


def _lines(source: Source, request: Request) -> Iterator[_Line]:
  for numbers, lines, cut_off in text_lines.read_lines(
      source, request.encoding, request.rejected
  ):
    for number, line in zip(numbers, lines, strict=True):
      yield number, line, cut_off and number == numbers[-1]


def _aligned(
    items: Iterator[_Line], times: Iterator[_Line]
) -> Iterator[tuple[_Line, _Line]]:
  """Pairs lines of the same number; an empty line where one is missing."""
  item, time = next(items, None), next(times, None)
  while item is not None or time is not None:
    row = min(line[0] for line in (item, time) if line is not None)
    left = item if item is not None and item[0] == row else (row, "", False)
    right = time if time is not None and time[0] == row else (row, "", False)
    yield left, right
    if left is item:
      item = next(items, None)
    if right is time:
      time = next(times, None)


def _as_events(
    batch: list[tuple[_Line, _Line]], source: Source, request: Request
) -> pl.DataFrame:
  rows: list[int] = []
  users: list[str] = []
  designs: list[str] = []
  moments: list[str] = []
  for (row, items, cut), (_, times, time_cut) in batch:
    item_fields, time_fields = items.split(), times.split()
    same = len(item_fields) == len(time_fields) > 1
    if not same or item_fields[0] != time_fields[0]:
      why = quarantine.CUT_OFF if cut or time_cut else NOT_ALIGNED
      request.rejected.add(source.name, row, why, items or times)
      continue
    count = len(item_fields) - 1
    rows += [row] * count
    users += item_fields[:1] * count
    designs += item_fields[1:]
    moments += time_fields[1:]
  return pl.DataFrame(
      {
          clean.ROW: rows,
          schema.USER_ID: users,
          schema.DESIGN_ID: designs,
          schema.TIMESTAMP: moments,
      },
      schema_overrides={clean.ROW: pl.Int64} | dict.fromkeys(_TEXTS, pl.String),
  ).with_columns(pl.lit(EVENT).alias(schema.EVENT_ID))


SASREC_TIME = LogFormat(
    summary="aligned lines `user item item ...` and `user time time ...`",
    read=_read,
    files=("*item*.txt", "*time*.txt"),
    companions=partners,
)

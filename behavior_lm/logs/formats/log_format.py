"""What a known log format is."""

from collections.abc import Callable, Iterator, Sequence
import dataclasses
import pathlib

import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.logs import schema
from behavior_lm.logs.readers import clean
from behavior_lm.logs.readers.quarantine import Quarantine
from behavior_lm.logs.readers.source_file import Source

# A column of lines or words that are still to be taken apart.
TEXT = "text"


@dataclasses.dataclass(frozen=True)
class Request:
  """What to read of a file.

  Attributes:
    columns: {ours: theirs} of the columns that differ.
    extras: further columns, by our names.
    encoding: of text files.
    rejected: gets what is no event.
  """

  columns: dict[str, str]
  extras: tuple[str, ...]
  encoding: str
  rejected: Quarantine

  def over(self, columns: dict[str, str]) -> "Request":
    """The same with these columns, but for those that the person named."""
    return dataclasses.replace(self, columns=columns | self.columns)


def _alone(path: pathlib.Path) -> list[pathlib.Path]:
  del path
  return []


@dataclasses.dataclass(frozen=True)
class LogFormat:
  """One way of writing a log.

  Attributes:
    summary: one line for people who look for theirs.
    read: a file -> batches as `clean.clean` takes them.
    files: patterns of the names that such files have in a folder.
    extras: further columns that are read when none are named.
    categories: names of further columns that are categorical unless
      --extras declares them otherwise; all others are numeric.
    timezone: of times without an offset when none is named; None is UTC.
    ordinal: whether the log knows the order of events and not their times;
      they get one second a line from 1970 on.
    parquet: whether its files are Parquet.
    companions: file -> the other files that are read together with it.
  """

  summary: str
  read: Callable[[Source, Request], Iterator[pl.DataFrame]]
  files: tuple[str, ...]
  extras: tuple[str, ...] = ()
  categories: tuple[str, ...] = ()
  timezone: str | None = None
  ordinal: bool = False
  parquet: bool = False
  companions: Callable[[pathlib.Path], list[pathlib.Path]] = _alone


def refuse_columns(request: Request, name: str) -> None:
  """Raises UserError where a format has no columns that could be mapped."""
  if request.columns:
    first = next(iter(request.columns))
    raise UserError(
        f"--columns {first}={request.columns[first]}: files of --format {name}"
        " have no named columns. Leave --columns out."
    )


def refuse_extras(
    request: Request, name: str, known: tuple[str, ...] = ()
) -> None:
  """Raises UserError for a column that the format does not have."""
  for extra in request.extras:
    if extra not in known:
      has = f"only {', '.join(known)}" if known else "none"
      raise UserError(
          f"--extras {extra}: --format {name} has {has} beside the events."
      )


def text_frame(numbers: Sequence[int], lines: Sequence[str]) -> pl.DataFrame:
  """Lines and their numbers as columns."""
  return pl.DataFrame({
      clean.ROW: pl.Series(numbers, dtype=pl.Int64),
      TEXT: pl.Series(lines, dtype=pl.String),
  })


def ordinal(places: pl.Series) -> pl.Series:
  """Places in a log without times -> its timestamps, a second for each."""
  return (places.cast(pl.Int64) * 1_000_000).cast(pl.Duration("us"))


def name_event(frame: pl.DataFrame, event: str) -> pl.DataFrame:
  """Calls every event `event`, where a log knows items and no behaviours.

  A row without an item gets no event, so that `clean.clean` rejects it.
  """
  item = pl.col(schema.DESIGN_ID)
  return frame.with_columns(
      pl.when(item.str.strip_chars() != "")
      .then(pl.lit(event))
      .alias(schema.EVENT_ID)
  )


def user_of_file(source: Source) -> str:
  """The user in the name of a file, for logs with one file a user."""
  return source.path.name.split(".")[0]

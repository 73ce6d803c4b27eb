"""Rejected rows: counted by reason, the first one kept, all of them listed."""

from collections.abc import Iterable
import dataclasses
import json
import pathlib
import shutil
from typing import Any

from behavior_lm.common.errors import UserError
from behavior_lm.logs.readers import time_text

# How much of a rejected row is written down.
TEXT_LIMIT = 200

# Reasons. The report counts by these words.
NO_USER = "no user"
NO_EVENT = "no event"
NO_TIME = "no time"
UNREADABLE_TIME = "unreadable time"
NEGATIVE_TIME = "negative time"
EARLY_TIME = "time before 1990"
FUTURE_TIME = "time more than 2 days in the future"
SKIPPED_TIME = "time that does not exist in the zone (clock change)"
FIELD_COUNT = "wrong number of fields"
BROKEN_QUOTES = "broken quotes"
BAD_ENCODING = "invalid text encoding"
NUL_BYTE = "NUL byte"
BROKEN_JSON = "broken JSON"
CUT_OFF = "cut-off last row"


def not_a_number(column: str) -> str:
  """Reason for a row whose further column `column` cannot be read."""
  return f"extra column {column} is not a number"


def not_plain(column: str) -> str:
  """Reason for a row whose id is no text and no number."""
  return f"{column} is an object or a list"


# What a person can do about a reason.
_REMEDIES = {
    UNREADABLE_TIME: f"accepted are {time_text.ACCEPTED}",
    EARLY_TIME: "numbers count from 1970 in the unit of --time_unit; times"
    " since the start of something need that start added",
    FIELD_COUNT: "the header line says how many fields a row has",
    BAD_ENCODING: "pass the right --encoding, such as gbk or latin-1",
}


def _remedy(reason: str) -> str:
  if reason.endswith("is an object or a list"):
    return "write the one text or number in it that names it"
  if reason.startswith("extra column"):
    return (
        "empty, NA and null are missing, true and false are 1 and 0; for 3,50"
        " pass --decimal_comma, for names --extras NAME:cat"
    )
  return _REMEDIES.get(reason, "")


@dataclasses.dataclass(frozen=True)
class Rejected:
  """One rejected row; `row` is a line of a text file, 1-based."""

  file: str
  row: int
  reason: str
  text: str


class Quarantine:
  """Collects rejected rows and writes each to a JSON Lines file.

  Attributes:
    counts: number of rejected rows by reason.
    first: the first rejected row of each reason.
    unkept: columns of the log that are not read.
  """

  def __init__(self, path: pathlib.Path):
    self._file = path.open("w", encoding="utf-8")
    self.counts: dict[str, int] = {}
    self.first: dict[str, Rejected] = {}
    self.unkept: set[str] = set()

  @property
  def total(self) -> int:
    return sum(self.counts.values())

  def add(self, file: str, row: int, reason: str, text: str | bytes) -> None:
    """Rejects one row; `text` is what was read, cut to TEXT_LIMIT."""
    if isinstance(text, bytes):
      text = text[: 4 * TEXT_LIMIT].decode("utf-8", errors="backslashreplace")
    rejected = Rejected(file, row, reason, text.rstrip("\r\n")[:TEXT_LIMIT])
    self.counts[reason] = self.counts.get(reason, 0) + 1
    self.first.setdefault(reason, rejected)
    self._file.write(json.dumps(vars(rejected)) + "\n")

  def add_all(self, rows: Iterable[tuple[str, int, str, str | bytes]]) -> None:
    for row in rows:
      self.add(*row)

  def notes(self) -> dict[str, Any]:
    """Counts, first rows and columns that are not read, as JSON."""
    first = {reason: vars(row) for reason, row in self.first.items()}
    unkept = sorted(self.unkept)
    return {"counts": self.counts, "first": first, "unkept": unkept}

  def absorb(self, path: pathlib.Path, notes: dict[str, Any]) -> None:
    """Appends what another quarantine collected in the file `path`."""
    for reason, count in notes["counts"].items():
      self.counts[reason] = self.counts.get(reason, 0) + count
      self.first.setdefault(reason, Rejected(**notes["first"][reason]))
    self.unkept.update(notes["unkept"])
    with path.open(encoding="utf-8") as file:
      shutil.copyfileobj(file, self._file)

  def check(self, rows: int, max_bad_fraction: float) -> None:
    """Raises UserError if too large a part of `rows` rows was rejected."""
    if self.total <= max_bad_fraction * rows:
      return
    raise UserError(
        f"{self.total:,} of {rows:,} rows ({self.total / rows:.1%}) were"
        f" rejected; --max_bad_fraction allows {max_bad_fraction:.2%}. Nothing"
        " was written.\n"
        + self.describe()
        + "\nCorrect the log or the flags, or raise --max_bad_fraction: the"
        " dataset folder then lists every rejected row in quarantine.jsonl."
    )

  def describe(self) -> str:
    """One line a reason, most frequent first, with its first example."""
    lines = []
    for reason, count in sorted(self.counts.items(), key=lambda x: -x[1]):
      first = self.first[reason]
      lines.append(
          f"  {count:,} x {reason}, first {first.file}:{first.row}:"
          f" {first.text[:80]!r}"
          + (f" ({remedy})" if (remedy := _remedy(reason)) else "")
      )
    return "\n".join(lines)

  def close(self) -> None:
    self._file.close()

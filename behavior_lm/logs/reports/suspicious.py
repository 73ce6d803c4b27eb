"""Ids that may not mean what they seem to: warnings with names and shares.

Nothing is changed here. A text such as NULL may mean that there is no value,
and ids that differ only by spaces, case, Unicode form or the way a number is
written may mean one thing.
"""

from collections.abc import Mapping
import shlex
from typing import Any

import polars as pl

from behavior_lm.logs import schema

# In small letters; "0" is what an event without a design has.
MARKERS = (
    "null", "\\n", "na", "n/a", "#n/a", "<na>", "none", "nan", "nat", "nil",
    "undefined", "(null)", "<null>", "[null]", "''", '""', "-", "--", "?",
    "unknown", "anonymous", "-1",
)  # fmt: skip
# A user with more of the events than this is seldom a person, where the log
# has enough users.
_LARGE_SHARE, _ENOUGH_USERS = 0.2, 20
_SHOWN = 3
# Designs that a log has whose items are counted.
_COUNTED = ("1", "2", "3")
# Larger whole numbers are not all a float64.
_MAX_WHOLE = 2**53
# A vocabulary of this size should name at least this share of the events.
_VOCAB_SIZE, _COVERED, _ENOUGH_EVENTS = 7_000, 0.8, 100


def find(
    users: pl.DataFrame, pairs: pl.DataFrame, unclear_times: int = 0
) -> list[dict[str, Any]]:
  """What a person should look at.

  Args:
    users: user_id and num_events, rows of one user add up.
    pairs: event_id, design_id and num_events.
    unclear_times: events in an hour that happens twice, pass unknown.

  Returns:
    A dict for each: "kind", "count" and "text".
  """
  columns = {schema.USER_ID: users, schema.EVENT_ID: pairs}
  columns[schema.DESIGN_ID] = pairs.filter(
      pl.col(schema.DESIGN_ID) != schema.NO_DESIGN
  )
  total = max(int(users["num_events"].sum()), 1)
  found = _zero_item(pairs)
  for name, table in columns.items():
    counts = (
        table.rename({name: "id"})
        .group_by("id")
        .agg(pl.col("num_events").sum().alias("count"))
        .filter(pl.col("count") > 0)
        .sort(["count", "id"], descending=[True, False])
    )
    found += _markers(name, counts, total)
    found += _alike(name, counts)
    if name == schema.USER_ID:
      found += _large(counts, total)
  if unclear_times:
    found.append({
        "kind": "unclear times",
        "count": unclear_times,
        "text": f"{unclear_times:,} events lie in an hour that the clock shows"
        " twice, and their order does not tell which; they count as the first",
    })
  return found


def _zero_item(pairs: pl.DataFrame) -> list[dict[str, Any]]:
  """Whether "0", which means that there is no design, may be an item."""
  design, none = pl.col(schema.DESIGN_ID), schema.NO_DESIGN
  count = int(pairs.filter(design == none)["num_events"].sum())
  known = set(pairs.filter(design.is_in(_COUNTED))[schema.DESIGN_ID])
  if not count or len(known) < len(_COUNTED):
    return []
  return [{
      "kind": "zero item",
      "count": count,
      "text": f"design_id {none!r} means that an event has no design, and"
      f" {count:,} events have it, beside the designs {', '.join(_COUNTED)}."
      " If your items are counted from 0, give that one another name: item"
      " vocabularies leave it out",
  }]


def uncovered(splits: Mapping[str, Any]) -> list[dict[str, Any]]:
  """Splits whose events a vocabulary of usual size would seldom name.

  Args:
    splits: of `report.split_report`, by name.

  Returns:
    As `find`.
  """
  found = []
  for name, part in splits.items():
    share = next(
        (c["share"] for c in part["coverage"] if c["pairs"] == _VOCAB_SIZE), 1.0
    )
    if part["num_events"] >= _ENOUGH_EVENTS and share < _COVERED:
      found.append({
          "kind": "coverage",
          "count": round(part["num_events"] * (1 - share)),
          "text": f"the {_VOCAB_SIZE:,} most frequent pairs of train cover"
          f" {share:.0%} of the events of {name}; to a model of pairs the"
          " others are bare events. A coarser design (--columns"
          " design_id=CATEGORY), extra columns as fields, a larger vocabulary"
          " or tokens=bpe tell it more; configs/retrieval.py learns items",
      })
  return found


def imprecise(extras: Mapping[str, Any]) -> list[dict[str, Any]]:
  """Columns of numbers so large that whole ones lose their last digits.

  Args:
    extras: of `extra_statistics.ExtraStatistics.summary`, by name.

  Returns:
    As `find`.
  """
  found = []
  for name, part in extras.items():
    largest = max(abs(part.get("min") or 0), abs(part.get("max") or 0))
    if largest >= _MAX_WHOLE:
      found.append({
          "kind": "digits",
          "count": part["count"],
          "text": f"extra column {name} has numbers up to {largest:.3g}; whole"
          f" numbers over {_MAX_WHOLE:,} lose digits. If it holds ids, keep"
          f" them as names: --extras {name}:cat",
      })
  return found


def _markers(
    name: str, counts: pl.DataFrame, total: int
) -> list[dict[str, Any]]:
  low = pl.col("id").str.strip_chars().str.to_lowercase()
  return [
      {
          "kind": "marker",
          "count": count,
          "text": f"{name} {text!r} has {count:,} events ({count / total:.1%})."
          f" If it means that there is none, pass --null_values"
          f" {shlex.quote(text.strip())}",
      }
      for text, count in counts.filter(low.is_in(MARKERS)).iter_rows()
  ]


def _large(counts: pl.DataFrame, total: int) -> list[dict[str, Any]]:
  if counts.height < _ENOUGH_USERS:
    return []
  return [
      {
          "kind": "large user",
          "count": count,
          "text": f"user {text!r} has {count:,} events ({count / total:.1%}),"
          " and may be no person",
      }
      for text, count in counts.iter_rows()
      if count > _LARGE_SHARE * total and text.strip().lower() not in MARKERS
  ]


def _alike(name: str, counts: pl.DataFrame) -> list[dict[str, Any]]:
  groups = (
      counts.with_columns(_key(pl.col("id")).alias("key"))
      .group_by("key")
      .agg(pl.col("id").sort(), pl.len().alias("size"), pl.col("count").sum())
      .filter(pl.col("size") > 1)
      .sort(["count", "key"], descending=[True, False])
  )
  if not groups.height:
    return []
  shown = "; ".join(
      " and ".join(ascii(text) for text in texts[:2])
      for texts in groups["id"].head(_SHOWN).to_list()
  )
  return [{
      "kind": "alike",
      "count": groups.height,
      "text": f"{name}: {groups.height:,} groups of ids differ only by spaces,"
      f" case, Unicode form or decimals, such as {shown}. They are kept apart",
  }]


def _key(text: pl.Expr) -> pl.Expr:
  """Equal for texts that look alike."""
  plain = (
      text.str.normalize("NFKC")
      .str.to_lowercase()
      .str.replace_all(r"[\s\u200b\ufeff]+", " ")
      .str.strip_chars()
  )
  # 1.0 and 1 are one number, 01 and 1 may be two codes.
  return (
      pl.when(plain.str.contains(r"^-?\d+\.\d*0*$"))
      .then(plain.str.strip_chars_end("0").str.strip_chars_end("."))
      .otherwise(plain)
  )

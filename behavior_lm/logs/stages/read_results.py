"""What all reading tasks together found out about the log."""

from collections.abc import Sequence
import os
import pathlib
from typing import Any

from behavior_lm.common.errors import UserError
from behavior_lm.logs.readers import quarantine
from behavior_lm.logs.readers import timestamps
from behavior_lm.logs.stages import read_stage
from behavior_lm.logs.stages.plan import Plan

Result = dict[str, Any]


def check(plan: Plan, reads: Sequence[Result]) -> None:
  """Raises UserError if the log as a whole cannot be used."""
  times(plan, reads)
  rows = total_rows(reads)
  if not rows:
    raise UserError(_no_rows(plan))
  limit = plan.options.max_bad_fraction
  if not sum(read["events"] for read in reads):
    limit = min(limit, 0.5)
  rejected(plan, reads, pathlib.Path(os.devnull)).check(rows, limit)


def total_rows(reads: Sequence[Result]) -> int:
  """Good and bad rows of the log."""
  return sum(read["rows"] for read in reads)


def times(plan: Plan, reads: Sequence[Result]) -> timestamps.TimeReader:
  """A TimeReader that knows the whole log.

  Raises:
    UserError: if times with and without an offset meet while no time zone was
      given.
  """
  reader = plan.options.time_reader(plan.now)
  for read in reads:
    reader.absorb(read["times"])
  return reader


def rejected(
    plan: Plan, reads: Sequence[Result], path: pathlib.Path
) -> quarantine.Quarantine:
  """Writes the rejected rows of all tasks into one file and closes it."""
  joined = quarantine.Quarantine(path)
  try:
    for number, read in enumerate(reads):
      joined.absorb(
          read_stage.rejected_path(plan, number), read["rejected"]
      )
  finally:
    joined.close()
  return joined


def sources(plan: Plan, reads: Sequence[Result]) -> list[dict[str, Any]]:
  """Name, bytes, rows and sha256 of each file of the log.

  A file that is read together with others also has "companions": {name:
  sha256}.
  """
  rows: dict[str, int] = {}
  hashes: dict[str, dict[str, str]] = {}
  for read in reads:
    rows[read["source"]] = rows.get(read["source"], 0) + read["rows"]
    if read["sha256"]:
      hashes[read["source"]] = read["sha256"]
  found = []
  for source in plan.sources:
    own, *others = hashes[source.name].items()
    found.append({
        "name": source.name,
        "bytes": source.size,
        "rows": rows[source.name],
        "sha256": own[1],
    })
    if others:
      found[-1]["companions"] = dict(others)
  return found


def _no_rows(plan: Plan) -> str:
  first = plan.sources[0]
  what = "has column names and no rows" if first.size else "is empty (0 bytes)"
  if len(plan.sources) > 1:
    return (
        f"--logs {plan.options.logs}: no rows in {len(plan.sources)} files;"
        f" {first.name} {what}."
    )
  return f"{first.path}: the file {what}."

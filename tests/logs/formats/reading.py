"""Reads made-up logs of the known formats, and counts real ones."""

import json
from pathlib import Path

import polars as pl

from behavior_lm.logs import formats
from behavior_lm.logs.readers import clean
from behavior_lm.logs.readers import quarantine
from behavior_lm.logs.readers import sources
from behavior_lm.logs.readers import timestamps


def read(logs, log_format, folder, *, extras=None, columns=None):
  """The cleaned events of `logs`, and [(row, reason)] of what was rejected.

  Args:
    logs: a file, a folder or a glob.
    log_format: a name in formats.FORMATS, or a generic one.
    folder: where the list of rejected rows is written.
    extras: declarations of further columns; None for the format's own.
    columns: {ours: theirs}.
  """
  rejected = quarantine.Quarantine(folder / "quarantine.jsonl")
  times = timestamps.TimeReader(formats.default_timezone(log_format))
  kinds = formats.extra_kinds(log_format, extras)
  frames = []
  for source in sources.find_sources(str(logs), log_format).files:
    for raw in formats.read(
        source,
        log_format=log_format,
        columns=columns or {},
        extras=list(kinds),
        encoding="utf-8",
        rejected=rejected,
    ):
      frames.append(
          clean.clean(
              raw,
              file=source.name,
              times=times,
              rejected=rejected,
              extras=kinds,
          )
      )
  rejected.close()
  lines = (folder / "quarantine.jsonl").read_text().splitlines()
  bad = [json.loads(line) for line in lines]
  found = pl.concat(frames) if frames else pl.DataFrame({"timestamp": []})
  return found, [(line["row"], line["reason"]) for line in bad]


def events(logs, log_format, folder, **options) -> list[tuple]:
  """(user, event, design, UTC time, extras...) of a log without bad rows."""
  found, bad = read(logs, log_format, folder, **options)
  assert bad == []
  return as_rows(found)


def as_rows(found: pl.DataFrame) -> list[tuple]:
  moments = [timestamps.format_moment(time) for time in found["timestamp"]]
  found = found.with_columns(pl.Series("timestamp", moments))
  return found.fill_nan(None).rows()


def write(path: Path, *lines: str) -> Path:
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text("".join(line + "\n" for line in lines))
  return path


def counts(logs, log_format, folder) -> tuple[int, int, int, list]:
  """Events, users, different (event, design) pairs, and rejected rows."""
  found, bad = read(logs, log_format, folder)
  pairs = found.select("event_id", "design_id").n_unique()
  return found.height, found["user_id"].n_unique(), pairs, bad

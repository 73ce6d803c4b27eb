"""Small logs for the tests of ingestion, and the way back from a dataset."""

import datetime
import json
from pathlib import Path

import numpy as np
import polars as pl

from behavior_lm.common.progress import CommandProgress
from behavior_lm.logs import ingest
from behavior_lm.logs.dataset import Dataset
from behavior_lm.logs.dataset import open_dataset

START = datetime.datetime(2024, 3, 4, tzinfo=datetime.UTC)
HEADER = "user_id,event_id,design_id,timestamp"


def at(seconds: float) -> datetime.datetime:
  return START + datetime.timedelta(seconds=seconds)


def text(seconds: float) -> str:
  return at(seconds).strftime("%Y-%m-%d %H:%M:%S")


def row(user="u1", event="e1", design="d1", seconds=0.0) -> str:
  return f"{user},{event},{design},{text(seconds)}"


def good_rows(count: int, users: int = 3) -> list[str]:
  return [
      row(f"u{i % users}", f"e{i % 5}", f"d{i % 7}", 60 * i)
      for i in range(count)
  ]


def write_csv(path: Path, rows: list[str | bytes], header=HEADER) -> Path:
  lines = [header, *rows]
  path.write_bytes(
      b"".join(
          (line if isinstance(line, bytes) else line.encode()) + b"\n"
          for line in lines
      )
  )
  return path


def event_frame(
    rows: list[tuple[str, str, str | None, float]],
) -> pl.DataFrame:
  """(user, event, design, seconds after START) -> a canonical table."""
  return pl.DataFrame(
      {
          "user_id": [r[0] for r in rows],
          "event_id": [r[1] for r in rows],
          "design_id": [r[2] for r in rows],
          "timestamp": [at(r[3]) for r in rows],
      },
      schema={
          "user_id": pl.String,
          "event_id": pl.String,
          "design_id": pl.String,
          "timestamp": pl.Datetime("us", "UTC"),
      },
  )


def prepare(logs: Path | str, out: Path, **options) -> dict:
  """Prepares and returns report.json's content."""
  return ingest.prepare(
      ingest.Options(logs=str(logs), out=str(out), **options),
      CommandProgress(quiet=True),
  )


def prepared(logs: Path | str, out: Path, **options) -> Dataset:
  prepare(logs, out, **options)
  return open_dataset(out)


def events_of(dataset: Dataset, split: str | None = None) -> pl.DataFrame:
  """All events of a dataset, in its order, as a canonical table + split."""
  parts = []
  names = dataset.splits if split is None else [split]
  for name in names:
    source = dataset.source(name)
    for index in range(len(source)):
      example = source[index]
      pairs = dataset.pairs.select(
          pl.col("event_id", "design_id").gather(example["pair"])
      )
      parts.append(
          pairs.select(
              pl.lit(example["user_id"]).alias("user_id"),
              "event_id",
              "design_id",
              pl.Series("timestamp", example["timestamp"]).cast(
                  pl.Datetime("us", "UTC")
              ),
              pl.lit(name).alias("split"),
              pl.lit(index).alias("index"),
          )
      )
  return pl.concat(parts)


def contents(dataset: Dataset) -> list:
  """Everything that can be read of a dataset, as something comparable."""
  found = [dataset.pairs.rows()]
  found += [
      dataset.categories(name).rows()
      for name, extra in dataset.extras.items()
      if extra.categories
  ]
  for split in dataset.splits:
    found.append(dataset.sequences(split).rows())
    source = dataset.source(split)
    for index in range(len(source)):
      example = source[index]
      found.append([
          value.tobytes() if isinstance(value, np.ndarray) else value
          for value in example.values()
      ])
  return found


def quarantined(dataset: Dataset) -> list[dict]:
  lines = (dataset.path / "quarantine.jsonl").read_text().splitlines()
  return [json.loads(line) for line in lines]


def reasons(dataset: Dataset) -> list[tuple[int, str]]:
  return [(line["row"], line["reason"]) for line in quarantined(dataset)]

"""The preparation that one writes with pandas in an afternoon.

  .venv-peers/bin/python peers/prepare_pandas.py LOG OUT.parquet

Log (Parquet or CSV) -> pair codes, sorted by user and time, one row a user's
day with its events as lists. Runs in the environment of `make peers`;
experiments/benchmark.py ingest measures it.
"""

import json
import sys

import pandas as pd


def main(log, out):
  """Prepares the log and prints how many events there were."""
  if log.endswith(".parquet"):
    events = pd.read_parquet(log)
  else:
    events = pd.read_csv(log, dtype={"user_id": str, "event_id": str,
                                     "design_id": str})
  events["timestamp"] = pd.to_datetime(events["timestamp"], utc=True)
  pairs = events[["event_id", "design_id"]].drop_duplicates()
  pairs = pairs.sort_values(["event_id", "design_id"]).reset_index(drop=True)
  pairs["pair"] = pairs.index.astype("int32")
  events = events.merge(pairs, on=["event_id", "design_id"], how="left")
  events = events.sort_values(["user_id", "timestamp"], kind="stable")
  events["day"] = events["timestamp"].dt.floor("D")
  events["time"] = events["timestamp"].dt.as_unit("us").astype("int64")
  days = events.groupby(["user_id", "day"], sort=False)
  sequences = days[["pair", "time"]].agg(list).reset_index()
  sequences.to_parquet(out)
  print(json.dumps({"events": len(events), "sequences": len(sequences)}))


if __name__ == "__main__":
  main(*sys.argv[1:])

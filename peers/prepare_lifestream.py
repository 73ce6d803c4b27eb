"""pytorch-lifestream's PandasDataPreprocessor on a log.

  .venv-peers/bin/python peers/prepare_lifestream.py LOG OUT.parquet

Log (Parquet or CSV) -> categories as codes, one row a user with tensors, in
its own format. Runs in the environment of `make peers`;
experiments/benchmark.py ingest measures it.

Version 0.7.0 as published cannot be imported: it lacks a package of its own
and asks for a Dask cluster. Neither is used by the pandas preprocessor, so
both are replaced by nothing here; its own code does all of the work.
"""

import importlib.util
import json
import pathlib
import sys
import types

import pandas as pd


def pandas_preprocessor():
  """The class, without what its package imports for Dask and Spark."""
  cluster = types.ModuleType("dask.distributed")
  cluster.LocalCluster = lambda **options: None
  cluster.Client = lambda server: types.SimpleNamespace(dashboard_link="none")
  sys.modules["dask.distributed"] = cluster
  found = importlib.util.find_spec("ptls").submodule_search_locations[0]
  for name in ("ptls.preprocessing", "ptls.preprocessing.dask"):
    package = types.ModuleType(name)
    package.__path__ = [str(pathlib.Path(found, *name.split(".")[1:]))]
    sys.modules[name] = package
  from ptls.preprocessing.pandas import pandas_preprocessor as module

  return module.PandasDataPreprocessor


def main(log, out):
  """Prepares the log and prints how many events there were."""
  if log.endswith(".parquet"):
    events = pd.read_parquet(log)
  else:
    events = pd.read_csv(log, dtype={"user_id": str, "event_id": str,
                                     "design_id": str})
  # Its own conversion of times fails on the frame that it is handed.
  times = pd.to_datetime(events["timestamp"], utc=True)
  events["event_time"] = times.dt.as_unit("s").astype("int64")
  events = events.drop(columns="timestamp")
  preprocessor = pandas_preprocessor()(
      col_id="user_id",
      col_event_time="event_time",
      event_time_transformation="none",
      cols_category=["event_id", "design_id"],
      category_transformation="frequency",
      cols_numerical=[],
      return_records=False,
      n_jobs=1,
  )
  users = preprocessor.fit_transform(events)
  lists = {
      column: [value.tolist() for value in users[column]]
      for column in ("event_time", "event_id", "design_id")
  }
  pd.DataFrame({"user_id": users["user_id"], **lists}).to_parquet(out)
  count = sum(map(len, lists["event_time"]))
  print(json.dumps({"events": count, "sequences": len(users)}))


if __name__ == "__main__":
  main(*sys.argv[1:])

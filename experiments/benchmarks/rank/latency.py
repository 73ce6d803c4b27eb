"""Times requests of one user with several candidates, end to end."""

from collections.abc import Sequence
import time
from typing import Any

import numpy as np
import polars as pl

from behavior_lm.inference.ranker import RequestRanker
from behavior_lm.inference.ranker import UserActions
from behavior_lm.recipes.ranking_run import load_ranking_run
from behavior_lm.recipes.shared import request_data
from experiments.benchmarks.common import machine

# Microseconds between two actions, and the time of the request.
_GAP, _NOW = 60_000_000, 10**15


def measure(run: str, sizes: Sequence[int], repeats: int) -> dict[str, Any]:
  """Milliseconds of `RequestRanker.rank`, from texts to probabilities.

  Args:
    run: folder; the items of its training table are the candidates.
    sizes: numbers of candidates.
    repeats: requests of each size that are timed, each with other candidates.

  Returns:
    {"rows": of each size, "machine", "seconds_compile"}.
  """
  loaded = load_ranking_run(run, best=True)
  schema, candidate = loaded.space.schema, loaded.config.data.candidate
  train = request_data.read_tables(loaded.config, ("train",))["train"].frame
  known = train.unique(f"categorical/{candidate}", maintain_order=True)
  items = known.select(
      pl.col(f"categorical/{name}").alias(name)
      for name in (candidate, *schema.names("sequences"))
  )
  started = time.perf_counter()
  ranker = RequestRanker(loaded, items, sizes)
  compiled = time.perf_counter() - started
  names = items[candidate].to_numpy()
  rng = np.random.default_rng(0)
  length = loaded.config.data.num_actions
  read = ranker.inputs.num_types > 0
  events = loaded.space.tables["action"].values if read else ()
  actions = UserActions(
      events=[events[n % len(events)] for n in range(length)] if events else [],
      items=rng.choice(names, length).tolist() if events else [],
      times=[_NOW - (n + 1) * _GAP for n in range(length)] if events else [],
  )
  rows = []
  for size in sizes:
    seconds = []
    for number in range(repeats + 2):
      shown = rng.choice(names, size).tolist()
      start = time.perf_counter()
      ranker.rank(shown, time=_NOW, actions=actions)
      # The first two fill caches.
      if number >= 2:
        seconds.append(time.perf_counter() - start)
    rows.append({
        "candidates": size,
        "p50_ms": 1e3 * float(np.percentile(seconds, 50)),
        "p99_ms": 1e3 * float(np.percentile(seconds, 99)),
        "per_second": size / float(np.median(seconds)),
        "requests": repeats,
    })
  return {
      "history": loaded.config.model.history,
      "num_actions": length,
      "seconds_compile": compiled,
      "machine": machine(),
      "rows": rows,
  }

"""How long a vector takes: our encoders beside transformers', turn by turn."""

from collections.abc import Mapping, Sequence
import time
from typing import Any

import numpy as np

from behavior_lm.common import markdown
from experiments.benchmarks.race.encoder_cases import Case
from experiments.benchmarks.race.encoder_race import OURS
from experiments.benchmarks.race.encoder_race import Worker

Row = dict[str, Any]
# Calls before the measured ones: caches.
_WARM_UP = 3
# Seconds between two calls: threads that wait for work spin for a moment.
_PAUSE = 0.02


def measure(
    case: Case,
    *,
    root: Any,
    peer: Sequence[str] | None,
    repeats: int,
) -> Row:
  """Latency of one case, from arrays on the host to vectors on the host.

  Args:
    case: see `encoder_cases.make_case`, with the mode "embed".
    root: of the checkout, where the programs start.
    peer: command of the other side; None measures ours alone.
    repeats: calls of each that are measured.

  Returns:
    see `summarise`.
  """
  commands = {"ours": OURS} | ({} if peer is None else {"theirs": peer})
  workers: dict[str, Worker] = {}
  cold: dict[str, float] = {}
  told: dict[str, Any] = {}
  seconds: dict[str, list[float]] = {name: [] for name in commands}
  try:
    # One after the other: each starts on a machine that does nothing else.
    for name, command in commands.items():
      started = time.perf_counter()
      workers[name] = Worker(command, root)
      told[name] = workers[name].ask(do="setup", case=case)
      workers[name].ask(do="step", head="all")
      cold[name] = time.perf_counter() - started
    for turn in range(_WARM_UP + repeats):
      for name, worker in workers.items():
        time.sleep(_PAUSE)
        took = worker.ask(do="step", head="all")["seconds"]
        if turn >= _WARM_UP:
          seconds[name].append(took)
  finally:
    for worker in workers.values():
      worker.close()
  versions = {name: one["versions"] for name, one in told.items()}
  return summarise(case, cold, seconds) | {
      "repeats": repeats,
      "versions": versions,
  }


def summarise(
    case: Case,
    cold: Mapping[str, float],
    seconds: Mapping[str, Sequence[float]],
) -> Row:
  """The figures of one case.

  Args:
    case: its setting.
    cold: {side: seconds from the start of the process to the first vectors}.
    seconds: {side: of each call}.

  Returns:
    {"case", "cold_seconds", "p50_ms", "p99_ms" and "vectors_per_second" of
    each side, "ratio", the median over turns of their time to ours}.
  """
  percentile = lambda q: {
      name: 1e3 * float(np.percentile(took, q))
      for name, took in seconds.items()
  }
  row: Row = {
      "case": dict(case),
      "cold_seconds": dict(cold),
      "p50_ms": percentile(50),
      "p99_ms": percentile(99),
      "vectors_per_second": {
          name: case["batch_size"] / float(np.median(took))
          for name, took in seconds.items()
      },
  }
  if "theirs" in seconds:
    pairs = np.asarray(seconds["theirs"]) / np.asarray(seconds["ours"])
    row["ratio"] = float(np.median(pairs))
  return row


def to_markdown(result: Mapping[str, Any]) -> str:
  """The page of all rows."""
  rows = result["rows"]
  last = rows[-1]
  versions = "; ".join(
      f"{name}: " + ", ".join(f"{key} {value}" for key, value in one.items())
      for name, one in last["versions"].items()
  )
  case = last["case"]
  header = [
      "model, users x tokens",
      "type",
      "ours p50 ms",
      "p99",
      "transformers p50 ms",
      "p99",
      "ratio",
      "ours users/s",
      "transformers users/s",
      "ours cold s",
      "transformers cold s",
  ]
  return "\n".join([
      "# Latency of vectors beside transformers",
      "",
      "Made by:",
      "",
      f"    {last['command']}  # at {last['commit']}",
      "",
      f"{result['machine']['cores']} cores ({result['machine']['kind']});"
      f" {versions}. {case['num_layers']} layers, width {case['embed_dim']},"
      f" {case['num_heads']} heads, feed-forward {case['mlp_dim']}; full rows;"
      " from arrays on the host to the mean of the last states on the host."
      f" The two take turns, {last['repeats']} calls each, and the ratio is the"
      " median over turns of their time to ours. Cold: from the start of the"
      " process to the first vectors, compilation included.",
      "",
      markdown.table(header, [_cells(row) for row in rows]),
      "",
  ])


def _cells(row: Row) -> list[str]:
  case = row["case"]
  of = lambda name, side, digits: (
      f"{row[name][side]:,.{digits}f}" if side in row[name] else ""
  )
  return [
      f"{case['model']}, {case['batch_size']} x {case['length']:,}",
      case["dtype"],
      of("p50_ms", "ours", 2),
      of("p99_ms", "ours", 2),
      of("p50_ms", "theirs", 2),
      of("p99_ms", "theirs", 2),
      f"{row['ratio']:.2f}" if "ratio" in row else "",
      of("vectors_per_second", "ours", 1),
      of("vectors_per_second", "theirs", 1),
      of("cold_seconds", "ours", 1),
      of("cold_seconds", "theirs", 1),
  ]

"""How fast a log becomes a dataset, in how much memory and disk.

Every measurement is a process of its own: what the system says of it when it
has ended is the peak of its memory and the time of its processors.
"""

from collections.abc import Callable, Mapping, Sequence
import functools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

import numpy as np

from behavior_lm.common.errors import UserError
from experiments.benchmarks.ingest import ingest_logs

Row = dict[str, Any]
# Seconds between two looks at the size of a folder.
_LOOK_EVERY = 0.1
# A small process that starts the one to measure: a process begins with the
# memory peak of the one it was forked from.
_LAUNCHER = """
import json, os, subprocess, sys
process = subprocess.Popen(sys.argv[2:])
_, status, usage = os.wait4(process.pid, 0)
with open(sys.argv[1], "w") as file:
  json.dump([usage.ru_utime + usage.ru_stime, usage.ru_maxrss], file)
sys.exit(os.waitstatus_to_exitcode(status) % 256)
"""


def measure(
    command: Sequence[str],
    folder: pathlib.Path,
    watched: pathlib.Path | None = None,
) -> Row:
  """Runs a command and measures it.

  Args:
    command: program and arguments.
    folder: for small files of the measurement.
    watched: a folder that it fills; its size is looked at all the time.

  Returns:
    {"seconds", "cpu_seconds" of it and its workers, "peak_bytes" of memory
    (of the largest of these processes), "disk_bytes" (largest size of
    `watched`), "spill_bytes" (of the rows between reading and sorting),
    "printed" (its last line)}.

  Raises:
    UserError: if it fails.
  """
  usage, errors = folder / "usage.json", folder / "stderr.txt"
  watcher = _Watcher(watched)
  watcher.start()
  with errors.open("wb") as file:
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-S", "-c", _LAUNCHER, str(usage), *command],
        stdout=subprocess.PIPE,
        stderr=file,
        text=True,
    )
    seconds = time.perf_counter() - started
  watcher.stop()
  if done.returncode:
    said = errors.read_text(errors="replace").strip()
    raise UserError(
        f"{' '.join(command[:3])} ... ended with {done.returncode}:"
        f" {said[-400:]}"
    )
  cpu_seconds, peak = json.loads(usage.read_text())
  return {
      "seconds": seconds,
      "cpu_seconds": cpu_seconds,
      # Linux counts kilobytes.
      "peak_bytes": peak * 1024,
      "disk_bytes": watcher.disk,
      "spill_bytes": watcher.spill,
      "printed": (done.stdout.strip().splitlines() or [""])[-1],
  }


class _Watcher:
  """Looks how large a folder is, until it is told to stop."""

  def __init__(self, folder: pathlib.Path | None):
    self._folder = folder
    self._end = threading.Event()
    self._thread = threading.Thread(target=self._look, daemon=True)
    self.disk = self.spill = 0

  def start(self) -> None:
    self._thread.start()

  def stop(self) -> None:
    self._end.set()
    self._thread.join()

  def _look(self) -> None:
    while self._folder is not None and not self._end.wait(_LOOK_EVERY):
      files = {}
      spill = 0
      for root, _, names in os.walk(self._folder):
        for name in names:
          try:
            found = os.stat(os.path.join(root, name))
          except FileNotFoundError:
            continue  # Deleted since.
          files[found.st_ino] = found.st_size
          if os.path.basename(root) == "read":
            spill += found.st_size
      self.disk = max(self.disk, sum(files.values()))
      self.spill = max(self.spill, spill)


def measure_ours(
    program: Sequence[str],
    folder: pathlib.Path,
    flags: Sequence[str],
    log: pathlib.Path,
) -> Row:
  """Measures experiments/prepare.py on a log; `program` starts it."""
  out = folder / "dataset"
  _remove(out)
  row = measure(
      [*program, f"--logs={log}", f"--out={out}", *flags],
      folder,
      watched=folder / "dataset.building",
  )
  meta = json.loads((out / "dataset.json").read_text())
  row["events"] = sum(s["num_events"] for s in meta["splits"].values())
  row["examples_hash"] = meta["examples_hash"]
  row["dataset_bytes"] = sum(f["bytes"] for f in meta["files"].values())
  del row["printed"]  # where it lay
  _remove(out)
  return row


def measure_peer(
    program: Sequence[str], folder: pathlib.Path, log: pathlib.Path
) -> Row:
  """Measures a program of peers/ on a log; `program` starts it."""
  out = folder / "peer.parquet"
  row = measure([*program, str(log), str(out)], folder)
  row["events"] = json.loads(row["printed"])["events"]
  row["dataset_bytes"] = out.stat().st_size
  _remove(out)
  return row


def exponent(rows: Sequence[Row]) -> float | None:
  """b of seconds = a * events**b, by least squares on the logarithms."""
  sizes = np.log([row["events"] for row in rows])
  if len(set(sizes.tolist())) < 2:
    return None
  seconds = np.log([row["seconds"] for row in rows])
  return float(np.polyfit(sizes, seconds, 1)[0])


def plan(
    rows: Sequence[Row], log_bytes: float, cores: Sequence[int]
) -> list[Row]:
  """What a log of `log_bytes` needs, by the largest measured run of a format.

  Time grows in proportion: the partitions are sorted apart from each other,
  and each reads its own pieces alone. The exponent says how true that was.

  Args:
    rows: of ours, with one worker.
    log_bytes: size of the log.
    cores: numbers of cores to divide its work by.
  """
  found = []
  for kind in dict.fromkeys(row["format"] for row in rows):
    mine = [row for row in rows if row["format"] == kind]
    largest = max(mine, key=lambda row: row["events"])
    times = log_bytes / largest["log_bytes"]
    core_seconds = largest["cpu_seconds"] * times
    found.append({
        "format": kind,
        "measured_events": largest["events"],
        "exponent": exponent(mine),
        "megabytes_a_core_second": largest["log_bytes"]
        / largest["cpu_seconds"]
        / 1e6,
        "events": largest["events"] * times,
        "hours": {str(n): core_seconds / n / 3_600 for n in cores},
        "shuffle_bytes": largest["spill_bytes"] * times,
        "disk_bytes": largest["disk_bytes"] * times,
        "dataset_bytes": largest["dataset_bytes"] * times,
    })
  return found


def run_all(
    subjects: Mapping[str, Callable[[pathlib.Path], Row]],
    logs: dict[tuple[str, int], pathlib.Path],
    limits: dict[str, int],
    tell: Callable[[str], None],
) -> list[Row]:
  """Measures every subject on every log.

  Args:
    subjects: {name: measures it on a log}.
    logs: {(format, events): file}.
    limits: {name: largest number of events to ask it for}.
    tell: told each result.
  """
  rows = []
  for (kind, events), log in logs.items():
    for name, run in subjects.items():
      if events > limits.get(name, events):
        continue
      row = {"subject": name, "format": kind, **run(log)}
      row["log_bytes"] = log.stat().st_size
      if row["events"] != events:
        raise UserError(
            f"{name}: found {row['events']:,} events in {log} instead of"
            f" {events:,}."
        )
      row["events_per_second"] = events / row["seconds"]
      tell(
          f"{name}, {kind}, {events:,} events: {row['seconds']:.1f} s,"
          f" {row['events_per_second']:,.0f} events/s, peak memory"
          f" {row['peak_bytes'] / 1e6:,.0f} MB"
      )
      rows.append(row)
  return rows


def ours_name(workers: int) -> str:
  """What results call our preparation with so many processes."""
  return "behavior_lm" if workers == 1 else f"behavior_lm, {workers} workers"


def measure_all(
    prepare: Sequence[str],
    peers: Mapping[str, Sequence[str]],
    *,
    sizes: Sequence[int],
    formats: Sequence[str],
    workers: Sequence[int],
    peers_max: int,
    workdir: str | None,
    tell: Callable[[str], None],
) -> list[Row]:
  """Makes logs and measures every program on every log.

  Args:
    prepare: starts experiments/prepare.py.
    peers: {name: starts a program of peers/}.
    sizes: events of each log.
    formats: of the logs.
    workers: numbers of processes of ours.
    peers_max: largest number of events to ask a peer for.
    workdir: where the files lie meanwhile; None is the system's place.
    tell: told each result.
  """
  with tempfile.TemporaryDirectory(dir=workdir) as name:
    folder = pathlib.Path(name)
    base = ingest_logs.base_log()
    rows = []
    subjects: dict[str, Callable[[pathlib.Path], Row]] = {}
    for count in workers:
      subjects[ours_name(count)] = functools.partial(
          measure_ours, prepare, folder, [f"--workers={count}"]
      )
    for peer, program in peers.items():
      subjects[peer] = functools.partial(measure_peer, program, folder)
    for events in sizes:
      for kind in formats:
        log = folder / f"log.{kind}"
        ingest_logs.write_log(base, events, log)
        rows += run_all(
            subjects,
            {(kind, events): log},
            dict.fromkeys(peers, peers_max),
            tell,
        )
        log.unlink()
  return rows


def _remove(path: pathlib.Path) -> None:
  if path.is_dir():
    shutil.rmtree(path)
  else:
    path.unlink(missing_ok=True)

"""Our encoders against transformers': the same work, turn by turn.

Two processes; one works while the other waits for its question. Absolute times
mean little on shared machines: what counts is the ratio, of steps that were
made one after the other.
"""

from collections.abc import Mapping, Sequence
import contextlib
import json
import os
from pathlib import Path
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

from behavior_lm.common import host_memory
from behavior_lm.common.errors import UserError
from experiments.benchmarks.race.encoder_cases import Case
from experiments.benchmarks.step.throughput import GEMM
from experiments.benchmarks.step.throughput import GEMM_FLOPS

Row = dict[str, Any]
OURS = [sys.executable, "-m", "experiments.benchmarks.race.encoder_speed"]
# Steps before the measured ones: compilation, then caches.
WARM_UP = 2
# Seconds between two turns: threads that wait for work spin for a moment.
_PAUSE = 0.02


class Worker:
  """A process that answers JSON lines."""

  def __init__(self, command: Sequence[str], root: Path):
    self._name = " ".join(command[-2:])
    self._errors = tempfile.TemporaryFile("w+")
    # Nothing is ever fetched.
    offline = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    # What our commands do for themselves; both sides get it.
    memory = host_memory.environment()
    self._process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=self._errors,
        text=True,
        cwd=root,
        env=os.environ | offline | memory,
    )

  def ask(self, **question: Any) -> dict[str, Any]:
    """One answer; see `hear`."""
    self.say(**question)
    return self.hear()

  def say(self, **question: Any) -> None:
    """Asks without waiting."""
    assert self._process.stdin
    try:
      self._process.stdin.write(json.dumps(question) + "\n")
      self._process.stdin.flush()
    except BrokenPipeError:
      pass  # It has ended: `hear` tells its last words.

  def hear(self) -> dict[str, Any]:
    """The answer to what was said.

    Raises:
      UserError: if the process failed, with its last words.
    """
    assert self._process.stdout
    line = self._process.stdout.readline()
    told = json.loads(line) if line else {"error": "it ended"}
    if "error" in told:
      self._errors.seek(0)
      said = self._errors.read().strip()[-2500:]
      raise UserError(f"{self._name}: {told['error']}. Its last words: {said}")
    return told

  def close(self) -> None:
    """Ends the process."""
    assert self._process.stdin and self._process.stdout
    # One that has ended cannot read what was not sent yet.
    with contextlib.suppress(BrokenPipeError):
      self._process.stdin.close()
    self._process.wait()
    self._process.stdout.close()
    self._errors.close()


def race(
    case: Case,
    *,
    root: Path,
    peer: Sequence[str] | None,
    repeats: int,
    warm_up: int = WARM_UP,
) -> Row:
  """Measures one case.

  Args:
    case: see `encoder_cases.make_case`.
    root: of the checkout, where the programs start.
    peer: command of the other side; None measures ours alone.
    repeats: steps of each that are measured.
    warm_up: steps of each before.

  Returns:
    see `summarise`.
  """
  workers = {"ours": Worker(OURS, root)}
  if peer is not None:
    workers["theirs"] = Worker(peer, root)
  try:
    for worker in workers.values():
      worker.say(do="setup", case=case)
    told = {name: worker.hear() for name, worker in workers.items()}
    turns = {
        f"ours_{head}": ("ours", {"head": head}) for head in case["heads"]
    }
    if peer is not None:
      heads = {"all": "theirs", "masked": "theirs_masked"}
      turns |= {
          heads[head]: ("theirs", {"head": head})
          for head in told["theirs"]["heads"]
      }
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    gemm: dict[str, list[float]] = {name: [] for name in workers}
    losses: dict[str, float] = {}
    for i in range(warm_up + repeats):
      for name, (side, what) in turns.items():
        time.sleep(_PAUSE)
        done = workers[side].ask(do="step", **what)
        losses[name] = done["loss"]
        if i >= warm_up:
          seconds[name].append(done["seconds"])
      for side, worker in workers.items():
        time.sleep(_PAUSE)
        done = worker.ask(do="gemm", shape=GEMM, dtype=case["dtype"])
        gemm[side].append(done["seconds"])
  finally:
    for worker in workers.values():
      worker.close()
  return summarise(case, told, seconds, gemm, losses) | {"repeats": repeats}


def summarise(
    case: Case,
    told: Mapping[str, Mapping[str, Any]],
    seconds: Mapping[str, Sequence[float]],
    gemm: Mapping[str, Sequence[float]],
    losses: Mapping[str, float],
) -> Row:
  """The figures of one case.

  Args:
    case: its setting.
    told: {side: what its setup said}.
    seconds: {"ours_masked", "ours_all", "theirs" (at all positions too), and
      "theirs_masked" where it can: of each step}.
    gemm: {side: seconds of the plain products between the steps}.
    losses: of the last steps.

  Returns:
    {"case", "seconds", "tokens_per_second" and "quartiles" of each of them,
    "ratio" and "ratio_quartiles" of ours to theirs at the same positions, if
    it can, turn by turn,
    "gemm_gflops" and "gemm_quartiles" (of each side), "share" (of the higher
    of the two, which the needed operations reach), "flops" of a step (ours
    with either head, theirs), "num_params", "losses", "versions"}.
  """
  tokens = case["batch_size"] * case["length"]
  speeds = {name: tokens / np.asarray(took) for name, took in seconds.items()}
  medians = {name: float(np.median(speed)) for name, speed in speeds.items()}
  peaks = {side: GEMM_FLOPS / np.median(took) for side, took in gemm.items()}
  peak = max(peaks.values())
  flops = told["ours"]["flops"]
  work = {
      "ours_masked": flops["masked"],
      "ours_all": flops["all"],
      "theirs": flops["theirs"],
      "theirs_masked": flops["masked"],
  }
  row: Row = {
      "case": dict(case),
      "seconds": {name: list(took) for name, took in seconds.items()},
      "tokens_per_second": medians,
      "quartiles": {name: _quartiles(speed) for name, speed in speeds.items()},
      "gemm_gflops": {side: float(p / 1e9) for side, p in peaks.items()},
      "gemm_quartiles": {
          side: _quartiles(GEMM_FLOPS / np.asarray(took) / 1e9)
          for side, took in gemm.items()
      },
      "gflops": {
          name: work[name] / tokens * speed / 1e9
          for name, speed in medians.items()
      },
      "flops": flops,
      "attention": told.get("theirs", {}).get("attention"),
      "num_params": {side: said["num_params"] for side, said in told.items()},
      "losses": dict(losses),
      "versions": {side: said["versions"] for side, said in told.items()},
      "xla_flags": told["ours"]["xla_flags"],
  }
  row["share"] = {
      name: 1e9 * speed / peak for name, speed in row["gflops"].items()
  }
  if "theirs" in speeds:
    ours = [name for name in speeds if name.startswith("ours")]
    rivals = {
        name: speeds.get(name.replace("ours", "theirs"), speeds["theirs"])
        for name in ours
    }
    # Within a turn both meet the same machine; across turns it changes.
    pairs = {name: speeds[name] / rivals[name] for name in ours}
    row["ratio"] = {name: float(np.median(pairs[name])) for name in ours}
    row["ratio_quartiles"] = {name: _quartiles(pairs[name]) for name in ours}
  return row


def _quartiles(values: np.ndarray) -> list[float]:
  return [float(q) for q in np.quantile(values, (0.25, 0.75))]


def describe(row: Row) -> str:
  """A row in one line."""
  case, speeds = row["case"], row["tokens_per_second"]
  ours = []
  for head in case["heads"]:
    name = f"ours_{head}"
    text = (
        f"head on {head} positions {speeds[name]:,.0f} tokens/s,"
        f" {row['share'][name]:.0%} of the peak"
    )
    if "ratio" in row:
      text += f", ratio {row['ratio'][name]:.2f}"
    ours.append(text)
  if "theirs" in speeds:
    ours.append(
        f"transformers {speeds['theirs']:,.0f}, {row['share']['theirs']:.0%}"
    )
  return (
      f"{case['model']} {case['mode']} {case['dtype']},"
      f" {case['batch_size']} x {case['length']}: {'; '.join(ours)} (peak"
      f" {max(row['gemm_gflops'].values()):,.0f} GFLOP/s)"
  )

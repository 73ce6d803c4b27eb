"""Kills, stops and full disks at random moments of the main commands.

Each command runs to its end once; that is the reference. Then, for each fault,
it starts anew, is hit, and the same command is started again: it has to end
well, and what it wrote has to equal the reference.
"""

import collections
from collections.abc import Callable, Sequence
import dataclasses
import hashlib
import json
import os
from pathlib import Path
import random
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

from behavior_lm.common import markdown
from behavior_lm.common.errors import UserError

REPO = Path(__file__).resolve().parents[3]
KILL, STOP, FULL = "kill -9", "SIGTERM", "file limit"
FAULTS = (KILL, STOP, FULL)
# A hit command that does not end by itself is an error, too.
_SECONDS = 600
# A limit is set by a process of its own: functions between fork and exec may
# deadlock once jax has started threads.
_WITH_LIMIT = """
import os, resource, sys
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""
Digest = dict[str, str]


@dataclasses.dataclass(frozen=True)
class Command:
  """One command of the main path.

  Attributes:
    name: of experiments/NAME.py.
    flags: with {inputs} (a folder that is only read) and {out}.
    digest: folder that was written -> {what: hash}.
    start_from: a folder of the inputs that is copied to {out} first; the
      command adds to it.
  """

  name: str
  flags: Sequence[str]
  digest: Callable[[Path], Digest]
  start_from: str = ""


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What a fault did.

  Attributes:
    command, fault, moment: which command, what hit it, and where: the share of
      the reference's time, or the limit in bytes.
    hit: whether the command was still at work.
    lost: why the same command did not end well afterwards; empty if it did.
    wrong: what differs from the reference.
    traceback: whether a person saw one.
  """

  command: str
  fault: str
  moment: str
  hit: bool
  lost: str
  wrong: list[str]
  traceback: bool


def files(folder: Path, pattern: str) -> Digest:
  """Hashes of the bytes of the files of a pattern."""
  return {
      str(path.relative_to(folder)): hashlib.sha256(
          path.read_bytes()
      ).hexdigest()
      for path in sorted(folder.glob(pattern))
      if path.is_file()
  }


def dataset(folder: Path) -> Digest:
  """The examples and the tables of a dataset."""
  meta = json.loads((folder / "dataset.json").read_text())
  return {"examples": meta["examples_hash"]} | files(folder, "*.parquet")


def run_folder(folder: Path) -> Digest:
  """Parameters, optimizer and losses of a run."""
  import jax
  import numpy as np

  from behavior_lm.training.checkpoint import Checkpoints

  checkpoints = Checkpoints(folder / "checkpoints", keep=None)
  params = checkpoints.restore_anything()
  out = {"step": str(checkpoints.latest_step())}
  checkpoints.close()
  digest = hashlib.sha256()
  for leaf in jax.tree.leaves(params):
    digest.update(np.ascontiguousarray(leaf).tobytes())
  out["parameters"] = digest.hexdigest()
  losses = {}
  for line in (folder / "metrics.jsonl").read_text().splitlines():
    values = json.loads(line)
    if "loss" in values:
      losses[values["step"]] = values["loss"]
  out["losses"] = json.dumps(losses)
  return out


COMMANDS = (
    Command(
        "prepare",
        (
            "--logs={inputs}/logs.csv",
            "--out={out}",
            "--split_time=2024-03-06",
            "--workers=1",
        ),
        dataset,
    ),
    Command(
        "train",
        (
            "--workdir={out}",
            "--config=configs/pretrain.py:size=tiny,time=bucket",
            "--config.data.path={inputs}/dataset",
            "--config.total_steps=120",
            "--config.checkpoint_every=15",
            "--config.log_every=15",
            "--config.data.batch_size=4",
        ),
        run_folder,
    ),
    Command(
        "evaluate",
        ("--run={out}", "--data={inputs}/dataset", "--split=test"),
        lambda folder: files(folder, "evaluations/*.md"),
        "run",
    ),
    Command(
        "embed",
        (
            "--run={inputs}/run",
            "--data={inputs}/dataset",
            "--out={out}/v.parquet",
        ),
        lambda folder: files(folder, "v.parquet"),
    ),
    Command(
        "export",
        (
            "--run={inputs}/run",
            "--vectors={inputs}/v.parquet",
            "--to=parquet:{out}",
            "--shard_rows=8",
        ),
        lambda folder: files(folder, "*.parquet"),
    ),
    Command(
        "report",
        ("--run={out}", "--embeddings={inputs}/v.parquet"),
        lambda folder: files(folder, "report/*"),
        "evaluated",
    ),
)


def make_inputs(work: Path) -> Path:
  """A small log, and what each command leaves to the next one."""
  inputs = work / "inputs"
  inputs.mkdir(parents=True)
  _finish(
      "generate",
      [
          f"--out={inputs / 'logs.csv'}",
          "--num_users=40",
          "--num_days=8",
          "--mean_events_per_day=60",
      ],
  )
  for command, name in zip(
      COMMANDS, ("dataset", "run", "evaluated", "vectors"), strict=False
  ):
    out = inputs / name
    _prepare(command, inputs, out)
    _finish(command.name, _flags(command, inputs, out))
  shutil.copyfile(inputs / "vectors" / "v.parquet", inputs / "v.parquet")
  return inputs


def reference(
    command: Command, inputs: Path, work: Path
) -> tuple[Digest, float]:
  """What a run that nothing hits leaves, and its seconds.

  Raises:
    RuntimeError: if two such runs differ: then nothing can be compared.
  """
  found = []
  for _ in range(2):
    out = _fresh(command, inputs, work)
    started = time.monotonic()
    _finish(command.name, _flags(command, inputs, out))
    seconds = time.monotonic() - started
    found.append(command.digest(out))
  if not found[0] or found[0] != found[1]:
    raise RuntimeError(f"{command.name} left {found[0]}, then {found[1]}")
  return found[0], seconds


def hit(
    command: Command,
    fault: str,
    inputs: Path,
    work: Path,
    want: Digest,
    seconds: float,
    rng: random.Random,
) -> Outcome:
  """Starts a command, hits it, starts it again, and compares."""
  out = _fresh(command, inputs, work)
  flags = _flags(command, inputs, out)
  limit, moment, text = None, None, ""
  if fault == FULL:
    limit = int(2 ** rng.uniform(8, 16))
    text = f"{limit:,} bytes"
  else:
    moment = rng.uniform(0.15, 0.95)
    text = f"{moment:.0%} of the time"
  code, output, signalled = _run(
      command.name,
      flags,
      limit=limit,
      after=None if moment is None else moment * seconds,
      sent=signal.SIGKILL if fault == KILL else signal.SIGTERM,
  )
  traceback = "Traceback" in output
  # A command that is stopped by SIGTERM may end with 0: it has saved.
  was_hit = signalled or (fault == FULL and code != 0)
  code_again, output, _ = _run(command.name, flags)
  lost = ""
  try:
    found = command.digest(out)
  except (OSError, ValueError, KeyError, UserError) as error:
    found, lost = {}, f"{type(error).__name__}: {error}"
  wrong = sorted(
      name
      for name in want.keys() | found.keys()
      if want.get(name) != found.get(name)
  )
  # A command that was hit behind its last file may say that all is there.
  if code_again and wrong:
    lost = (output.strip().splitlines() or ["no message"])[-1]
  return Outcome(
      command.name,
      fault,
      text,
      hit=was_hit,
      lost=lost,
      wrong=wrong,
      traceback=traceback or "Traceback" in output,
  )


def _flags(command: Command, inputs: Path, out: Path) -> list[str]:
  return [flag.format(inputs=inputs, out=out) for flag in command.flags]


def _fresh(command: Command, inputs: Path, work: Path) -> Path:
  """The folder to write; the same each time, because files may name it."""
  out = work / command.name
  shutil.rmtree(out, ignore_errors=True)
  _prepare(command, inputs, out)
  return out


def _prepare(command: Command, inputs: Path, out: Path) -> None:
  if command.start_from:
    shutil.copytree(inputs / command.start_from, out)


def _finish(name: str, flags: Sequence[str]) -> None:
  code, output, _ = _run(name, flags)
  if code:
    raise RuntimeError(f"{name} {' '.join(flags)} failed: {output}")


def _run(
    name: str,
    flags: Sequence[str],
    *,
    limit: int | None = None,
    after: float | None = None,
    sent: int = signal.SIGKILL,
) -> tuple[int, str, bool]:
  """Exit status, output, and whether a signal was sent to its processes."""

  program = [str(REPO / "experiments" / f"{name}.py"), *flags]
  if limit is not None:
    program = ["-c", _WITH_LIMIT, str(limit), *program]
  process = subprocess.Popen(
      [sys.executable, *program],
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
      cwd=REPO,
      env=os.environ | {"PYTHONPATH": str(REPO)},
      start_new_session=True,
  )
  signalled = False
  try:
    output, _ = process.communicate(timeout=after or _SECONDS)
  except subprocess.TimeoutExpired:
    os.killpg(process.pid, sent if after else signal.SIGKILL)
    output, _ = process.communicate(timeout=_SECONDS)
    signalled = True
  return process.returncode, output, signalled


def to_json(outcome: Outcome) -> dict[str, Any]:
  return dataclasses.asdict(outcome)


def to_markdown(result: dict[str, Any]) -> str:
  """Counts by command and fault."""
  groups = collections.defaultdict(list)
  for one in result["outcomes"]:
    groups[one["command"], one["fault"]].append(one)
  rows = [
      [
          command,
          fault,
          len(found),
          sum(one["hit"] for one in found),
          sum(bool(one["lost"]) for one in found),
          sum(bool(one["wrong"]) for one in found),
          sum(one["traceback"] for one in found),
      ]
      for (command, fault), found in groups.items()
  ]
  header = [
      "command", "fault", "times", "hit while at work", "lost", "wrong",
      "tracebacks",
  ]
  total = [
      "all", "", *(sum(row[place] for row in rows) for place in range(2, 7))
  ]
  return "\n".join([
      "Lost: the same command did not end well afterwards. Wrong: what it left"
      " differs from a run that nothing hit.",
      "",
      markdown.table(header, [*rows, total]),
      "",
      "Made by:",
      "",
      f"    {result['command']}",
      "",
  ])

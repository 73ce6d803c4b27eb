"""Measures the speed of what this package does.

  python experiments/benchmark.py --config configs/pretrain.py:size=small
  python experiments/benchmark.py ingest --sizes 1000000,10000000
  python experiments/benchmark.py ingest --plan

The training step (the word `step` may be left out): tokens a second, and its
share of what this machine's plain matrix products reach in the same run.

Ingestion: from a log to a dataset, in seconds, events a second, memory and
disk, beside other programs on the same files (`make peers`); the results stay
in experiments/results, and --plan says from them what a log of a terabyte
needs.
"""

from collections.abc import Callable
import functools
import json
import os
from pathlib import Path
import platform
import sys
import tempfile

from absl import flags
from ml_collections import config_flags

from behavior_lm.errors import run_command
from behavior_lm.errors import UserError

_REPO = Path(__file__).resolve().parents[1]

_CONFIG = config_flags.DEFINE_config_file(
    "config", "configs/pretrain.py", "step: the config program."
)
_REPEATS = flags.DEFINE_integer(
    "repeats", 15, "step: steps measured; the median."
)
_OUT = flags.DEFINE_string(
    "out",
    "",
    "step: also write the figures to this JSON. ingest: write them to this"
    " .json and a .md beside it (experiments/results/ingest.json).",
)
_SIZES = flags.DEFINE_list(
    "sizes",
    ["1000000", "3000000", "10000000", "30000000", "50000000"],
    "ingest: events of each log.",
)
_FORMATS = flags.DEFINE_list("formats", ["parquet", "csv"], "ingest: of logs.")
_WORKERS = flags.DEFINE_list(
    "workers", ["1", "2"], "ingest: numbers of processes of prepare.py."
)
_PEERS = flags.DEFINE_list(
    "peers", ["pandas", "lifestream"], "ingest: programs of peers/ to run too."
)
_PEERS_PYTHON = flags.DEFINE_string(
    "peers_python",
    str(_REPO / ".venv-peers" / "bin" / "python"),
    "ingest: the Python that runs them; `make peers` makes it.",
)
_PEERS_MAX = flags.DEFINE_integer(
    "peers_max", 10_000_000, "ingest: they hold the log in memory; not more."
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "ingest: for logs and datasets; a temporary folder."
)
_PLAN = flags.DEFINE_bool(
    "plan", False, "ingest: only show what a log of --plan_bytes needs."
)
_PLAN_BYTES = flags.DEFINE_float("plan_bytes", 1e12, "ingest: of that log.")


def step(argv: list[str]) -> None:
  """Measures one config's training step."""
  del argv
  from behavior_lm.evaluation.throughput import measure_step

  if _REPEATS.value < 1:
    raise UserError(f"--repeats {_REPEATS.value} must be 1 or more.")
  result = measure_step(_CONFIG.value, repeats=_REPEATS.value)
  print(
      f"training step: {result['tokens_per_second']:,.0f} tokens/s"
      f" ({result['step_ms']:.1f} ms, {result['num_params'] / 1e6:.2f} M"
      f" parameters), {result['step_gflops']:.0f} GFLOP/s:"
      f" {result['share']:.0%} of the {result['gemm_gflops']:.0f} GFLOP/s of"
      " plain products"
  )
  if _OUT.value:
    out = Path(_OUT.value)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"figures: {out}")


def ingest(argv: list[str]) -> None:
  """Measures the preparation of logs, or shows what was measured."""
  del argv
  from behavior_lm.evaluation import ingest_report
  from behavior_lm.reporting import ingest_curve

  out = Path(_OUT.value or _REPO / "experiments" / "results" / "ingest.json")
  if _PLAN.value:
    if not out.is_file():
      raise UserError(f"{out}: no such file. Run the benchmark first.")
    rows = json.loads(out.read_text())["rows"]
    ours = [row for row in rows if row["subject"] == _ours("1")]
    print(ingest_report.plan_to_markdown(ours, _PLAN_BYTES.value))
    return
  rows = _measure_ingest()
  result = {
      "command": " ".join(
          ["python experiments/benchmark.py ingest", *sys.argv[1:]]
      ),
      "machine": {"cores": os.cpu_count(), "kind": platform.machine()},
      "rows": rows,
  }
  out.parent.mkdir(parents=True, exist_ok=True)
  out.write_text(json.dumps(result, indent=1) + "\n")
  page, curve = out.with_suffix(".md"), out.with_suffix(".png")
  page.write_text(ingest_report.to_markdown(result))
  ingest_curve.draw(rows, curve)
  print(f"figures: {out}, {page}, {curve}")


def _ours(workers: str) -> str:
  return "behavior_lm" if workers == "1" else f"behavior_lm, {workers} workers"


def _measure_ingest() -> list[dict]:
  from behavior_lm.evaluation import ingest_logs
  from behavior_lm.evaluation import ingest_speed

  if _PEERS.value and not Path(_PEERS_PYTHON.value).exists():
    raise UserError(
        f"--peers_python {_PEERS_PYTHON.value}: does not exist. Run `make"
        " peers`, or pass --peers= to measure ours alone."
    )
  with tempfile.TemporaryDirectory(dir=_WORKDIR.value) as name:
    folder = Path(name)
    base = ingest_logs.base_log()
    rows = []
    prepare = [sys.executable, str(_REPO / "experiments" / "prepare.py")]
    subjects: dict[str, Callable[[Path], dict]] = {}
    for workers in _WORKERS.value:
      subjects[_ours(workers)] = functools.partial(
          ingest_speed.measure_ours, prepare, folder, [f"--workers={workers}"]
      )
    for peer in _PEERS.value:
      program = str(_REPO / "peers" / f"prepare_{peer}.py")
      subjects[peer] = functools.partial(
          ingest_speed.measure_peer, [_PEERS_PYTHON.value, program], folder
      )
    for events in map(int, _SIZES.value):
      for kind in _FORMATS.value:
        log = folder / f"log.{kind}"
        ingest_logs.write_log(base, events, log)
        rows += ingest_speed.run_all(
            subjects,
            {(kind, events): log},
            dict.fromkeys(_PEERS.value, _PEERS_MAX.value),
            lambda text: print(text, flush=True),
        )
        log.unlink()
  return rows


_COMMANDS = {"step": step, "ingest": ingest}

if __name__ == "__main__":
  # The word before the flags; without one, the training step.
  word = "step"
  if sys.argv[1:2] and sys.argv[1] in _COMMANDS:
    word = sys.argv.pop(1)
  run_command(_COMMANDS[word])

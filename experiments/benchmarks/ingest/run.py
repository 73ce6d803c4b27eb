"""Preparing logs of growing sizes: the word `ingest` of benchmark.py."""

import json
from pathlib import Path
import sys

from absl import flags

from behavior_lm.common.errors import UserError
from experiments.benchmarks import common
from experiments.studies.results import write_result

_OUT = common.define_out("experiments/results/ingest.json")
_SIZES = flags.DEFINE_list(
    "sizes",
    ["1000000", "3000000", "10000000", "30000000", "50000000"],
    "Events of each log.",
)
_FORMATS = flags.DEFINE_list("formats", ["parquet", "csv"], "Formats of logs.")
_WORKERS = flags.DEFINE_list(
    "workers", ["1", "2"], "Numbers of processes of prepare.py."
)
_PEERS = flags.DEFINE_list(
    "peers",
    ["pandas", "lifestream"],
    "Programs of peers/ to measure too; empty: ours alone.",
)
_PEERS_PYTHON = common.define_peers_python()
_PEERS_MAX = flags.DEFINE_integer(
    "peers_max",
    10_000_000,
    "Events of the peers' largest log, since they hold it in memory.",
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "For logs and datasets; by default a temporary folder."
)
_PLAN = flags.DEFINE_bool(
    "plan", False, "Only show what a log of --plan_bytes needs."
)
_PLAN_BYTES = flags.DEFINE_float("plan_bytes", 1e12, "Size of that log.")


def main(word: str, argv: list[str]) -> None:
  """Measures the preparation of logs, or plans from what was measured."""
  del argv
  out = common.result_path(word, _OUT.value, runlocal=False)
  if _PLAN.value:
    _plan(out)
    return
  python = _PEERS_PYTHON.value
  if _PEERS.value:
    common.check_peers(python)
  # Late imports: --help and usage errors come at once.
  from experiments.benchmarks.ingest import figure
  from experiments.benchmarks.ingest import ingest_report
  from experiments.benchmarks.ingest import ingest_speed

  rows = ingest_speed.measure_all(
      [sys.executable, str(common.REPO / "experiments" / "prepare.py")],
      {
          name: common.peer_command(python, f"prepare_{name}")
          for name in _PEERS.value
      },
      sizes=common.integers(_SIZES),
      formats=_FORMATS.value,
      workers=common.integers(_WORKERS),
      peers_max=_PEERS_MAX.value,
      workdir=_WORKDIR.value,
      tell=lambda text: print(text, flush=True),
  )
  result = {
      "command": common.command(word),
      "machine": common.machine(),
      "rows": rows,
  }
  write_result(
      out.with_suffix(""), result, ingest_report.to_markdown(result)
  )
  figure.draw(rows, out.with_suffix(".png"))
  print(f"figure: {out.with_suffix('.png')}")


def _plan(out: Path) -> None:
  from experiments.benchmarks.ingest import ingest_report
  from experiments.benchmarks.ingest import ingest_speed

  if not out.is_file():
    raise UserError(f"{out}: no such file. Run the benchmark first.")
  rows = json.loads(out.read_text())["rows"]
  ours = [row for row in rows if row["subject"] == ingest_speed.ours_name(1)]
  print(ingest_report.plan_to_markdown(ours, _PLAN_BYTES.value))

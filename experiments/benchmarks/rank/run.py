"""Latency of online ranking: the word `rank` of experiments/benchmark.py."""

import json
from pathlib import Path

from absl import flags

from behavior_lm.common.errors import UserError
from behavior_lm.common.files import write_whole
from behavior_lm.common.host_memory import keep_freed_memory
from experiments.benchmarks import common

_RUN = flags.DEFINE_string("run", None, "A run folder of configs/ranking.py.")
_SIZES = flags.DEFINE_list(
    "sizes", ["1", "10", "100", "1000"], "Numbers of candidates."
)
_REPEATS = common.define_repeats()
_OUT = flags.DEFINE_string("out", "", "A .json of the figures; empty: none.")


def main(word: str, argv: list[str]) -> None:
  """Prints milliseconds per request, and writes them if asked to."""
  del word, argv
  common.check_repeats(_REPEATS.value)
  if not _RUN.value:
    raise UserError("--run is needed: a run folder of configs/ranking.py.")
  # Late import: --help and usage errors come at once.
  from experiments.benchmarks.rank.latency import measure

  keep_freed_memory()
  result = measure(_RUN.value, common.integers(_SIZES), _REPEATS.value)
  for row in result["rows"]:
    print(
        f"{row['candidates']:,} candidates: p50 {row['p50_ms']:.2f} ms, p99"
        f" {row['p99_ms']:.2f} ms, {row['per_second']:,.0f} candidates/s"
    )
  if _OUT.value:
    out = Path(_OUT.value)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(out, json.dumps(result, indent=1) + "\n")
    print(f"figures: {out}")

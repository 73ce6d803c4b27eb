"""Measures the speed of what this package does.

  python experiments/benchmark.py --config configs/pretrain.py:size=small
  python experiments/benchmark.py ingest --sizes 1000000,10000000
  python experiments/benchmark.py ingest --plan

  python experiments/benchmark.py train --models bert --dtypes float32
  python experiments/benchmark.py forward
  python experiments/benchmark.py lengths --models longformer
  python experiments/benchmark.py serve --models bert --dtypes float32
  python experiments/benchmark.py moe

The training step (the word `step` may be left out): tokens per second, and
their share of what this machine's plain matrix products reach in the same run.

Ingestion: from a log to a dataset, in seconds, events per second, memory and
disk, beside other programs on the same files (`make peers`); the results stay
in experiments/results, and --plan says from them what a log of a terabyte
needs.

`train` and `forward`: our encoders beside transformers' on the same work, turn
by turn in one run (`make peers`). Results are kept row by row, so models may be
measured one at a time. `lengths`: our training steps alone, from 1k to 32k
tokens per row: tokens per second and memory. `rank`: milliseconds of one
request with 1 to 1,000 candidates, of a run of configs/ranking.py.

`serve`: milliseconds until the vectors of one user or several are there, cold
and warm, beside transformers' encoder of the same shape.

`moe`: a mixture of experts beside a dense net of the same active work.

The word before --help decides whose flags it shows.
"""

import functools
import importlib
import sys

from absl import flags

from behavior_lm.common.errors import run_command

# word -> the folder of experiments/benchmarks whose run.py has its flags.
_FOLDERS = {
    "step": "step",
    "ingest": "ingest",
    "train": "race",
    "forward": "race",
    "lengths": "lengths",
    "rank": "rank",
    "moe": "moe",
    "serve": "serve",
}

if __name__ == "__main__":
  named = len(sys.argv) > 1 and sys.argv[1] in _FOLDERS
  word = sys.argv.pop(1) if named else "step"
  benchmark = importlib.import_module(
      f"experiments.benchmarks.{_FOLDERS[word]}.run"
  )
  for module in (benchmark, benchmark.common):
    flags.adopt_module_key_flags(module)
  run_command(functools.partial(benchmark.main, word))

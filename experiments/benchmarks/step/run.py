"""One config's training step: the word `step` of experiments/benchmark.py."""

import json
from pathlib import Path

from absl import flags

from behavior_lm.common.command_flags import define_config
from behavior_lm.common.files import write_whole
from behavior_lm.common.host_memory import keep_freed_memory
from experiments.benchmarks import common

_CONFIG = define_config(
    "configs/pretrain.py", "The config program."
)
_REPEATS = common.define_repeats()
_OUT = flags.DEFINE_string("out", "", "A .json of the figures; empty: none.")


def main(word: str, argv: list[str]) -> None:
  """Prints the speed, and writes it if asked to."""
  del word, argv
  common.check_repeats(_REPEATS.value)
  # Late import: --help and usage errors come at once.
  from experiments.benchmarks.step.throughput import measure_step

  keep_freed_memory()  # as the commands that train do
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
    write_whole(out, json.dumps(result, indent=1) + "\n")
    print(f"figures: {out}")

"""Measures the speed of what this package does, in ratios.

  python experiments/benchmark.py --config configs/pretrain.py:size=small

Tokens a second of the training step, and its share of what this machine's
plain matrix products reach in the same run.
"""

import json
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from behavior_lm.errors import run_command
from behavior_lm.errors import UserError

_CONFIG = config_flags.DEFINE_config_file(
    "config", "configs/pretrain.py", "The config program, with its arguments."
)
_REPEATS = flags.DEFINE_integer("repeats", 15, "Steps measured; the median.")
_OUT = flags.DEFINE_string("out", "", "Also write the figures to this JSON.")


def main(argv: list[str]) -> None:
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


if __name__ == "__main__":
  run_command(main)

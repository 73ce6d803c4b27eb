"""Our steps from short to long rows: the word `lengths` of benchmark.py."""

import itertools
import os

from absl import flags

from experiments.benchmarks import common

_OUT = common.define_out(
    "experiments/results/lengths.json, with --runlocal"
    " runs/benchmark/lengths.json"
)
_REPEATS = common.define_repeats()
_MODELS = common.define_models()
_LENGTHS = common.define_lengths()
_RUNLOCAL = common.define_runlocal()
_MAX_GB = flags.DEFINE_float(
    "max_gb", 12.0, "Programs that need more memory are not run."
)


def main(word: str, argv: list[str]) -> None:
  """Measures how speed and memory grow; each case joins the results."""
  del argv
  common.check_repeats(_REPEATS.value)
  lengths = common.integers(_LENGTHS)
  out = common.result_path(word, _OUT.value, _RUNLOCAL.value)
  common.older_rows(out)
  # Late imports: --help and usage errors come at once.
  from experiments.benchmarks.lengths import encoder_lengths
  from experiments.benchmarks.lengths import figure
  from experiments.benchmarks.race import encoder_cases

  made = common.made(word)
  cases = [
      encoder_cases.make_case(
          model,
          heads=["masked"],
          length=length,
          batch_size=encoder_lengths.batch_size(length),
          threads=os.cpu_count() or 1,
          tiny=_RUNLOCAL.value,
      )
      for model, length in itertools.product(
          _MODELS.value or encoder_cases.model_names(),
          lengths or encoder_lengths.LENGTHS,
      )
  ]
  for case in cases:
    row = encoder_lengths.measure(
        case,
        root=common.REPO,
        repeats=_REPEATS.value,
        max_bytes=1e9 * _MAX_GB.value,
    )
    print(encoder_lengths.describe(row), flush=True)
    rows = common.add_row(out, row | made, encoder_lengths.to_markdown)
    figure.draw(rows, out.with_suffix(".png"))

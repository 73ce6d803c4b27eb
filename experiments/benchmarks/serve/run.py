"""Latency of vectors: the word `serve` of experiments/benchmark.py."""

import itertools
import os

from absl import flags

from behavior_lm.common.errors import UserError
from experiments.benchmarks import common

_OUT = common.define_out(
    "experiments/results/serve.json, with --runlocal runs/benchmark/serve.json"
)
_REPEATS = flags.DEFINE_integer("repeats", 100, "Calls measured of each side.")
_MODELS = flags.DEFINE_list("models", ["bert"], "Models to measure.")
_LENGTHS = flags.DEFINE_list(
    "lengths", ["128", "512", "2048", "4096"], "Tokens of a user."
)
_BATCH_SIZES = flags.DEFINE_list("batch_sizes", ["1", "8"], "Users of a call.")
_DTYPES = flags.DEFINE_list("dtypes", ["float32"], "Types to compute in.")
_RUNLOCAL = common.define_runlocal()
_PEERS = common.define_peers()
_PEERS_PYTHON = common.define_peers_python()


def main(word: str, argv: list[str]) -> None:
  """Measures every length with every number of users."""
  del argv
  common.check_repeats(_REPEATS.value)
  lengths, sizes = common.integers(_LENGTHS), common.integers(_BATCH_SIZES)
  if not lengths or not sizes:
    raise UserError("--lengths and --batch_sizes: give one number at least.")
  peer = common.chosen_peer(
      _PEERS.value, _PEERS_PYTHON.value, "encoder_speed"
  )
  out = common.result_path(word, _OUT.value, _RUNLOCAL.value)
  common.older_rows(out)
  # Late imports: --help and usage errors come at once.
  from experiments.benchmarks.race import encoder_cases
  from experiments.benchmarks.serve import latency

  made = common.made(word)
  cases = [
      encoder_cases.make_case(
          model,
          mode="embed",
          dtype=dtype,
          heads=["all"],
          length=length,
          batch_size=size,
          threads=os.cpu_count() or 1,
          tiny=_RUNLOCAL.value,
      )
      for model, dtype, length, size in itertools.product(
          _MODELS.value, _DTYPES.value, lengths, sizes
      )
  ]
  for case in cases:
    row = latency.measure(
        case, root=common.REPO, peer=peer, repeats=_REPEATS.value
    )
    ratio = f", ratio {row['ratio']:.2f}" if "ratio" in row else ""
    print(
        f"{case['model']} {case['dtype']}, {case['batch_size']} x"
        f" {case['length']:,}: p50 {row['p50_ms']['ours']:.2f} ms, p99"
        f" {row['p99_ms']['ours']:.2f} ms{ratio}",
        flush=True,
    )
    common.add_row(out, row | made, latency.to_markdown)

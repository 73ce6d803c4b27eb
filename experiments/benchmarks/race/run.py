"""Our encoders beside transformers': `train` and `forward` of benchmark.py."""

import itertools
import os

from absl import flags

from behavior_lm.common.errors import UserError
from experiments.benchmarks import common

_OUT = common.define_out(
    "experiments/results/WORD.json, with --runlocal runs/benchmark/WORD.json"
)
_REPEATS = common.define_repeats()
_MODELS = common.define_models()
_LENGTHS = common.define_lengths()
_RUNLOCAL = common.define_runlocal()
_PEERS = common.define_peers()
_PEERS_PYTHON = common.define_peers_python()
_DTYPES = flags.DEFINE_list(
    "dtypes", ["float32", "bfloat16"], "Types to compute in."
)
_HEADS = flags.DEFINE_list(
    "heads", ["masked", "all"], "Positions where our head predicts."
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 0, "Rows; 0: each model's own.", lower_bound=0
)
_KEEP_STATES = flags.DEFINE_bool(
    "keep_states",
    False,
    "train, reformer: ours keeps its states for the gradient.",
)


def main(word: str, argv: list[str]) -> None:
  """Measures `word`, "train" or "forward"; each case joins the results."""
  del argv
  if _KEEP_STATES.value and word != "train":
    raise UserError(f"--keep_states means nothing to {word}; train reads it.")
  common.check_repeats(_REPEATS.value)
  lengths = common.integers(_LENGTHS)
  peer = common.chosen_peer(
      _PEERS.value, _PEERS_PYTHON.value, "encoder_speed"
  )
  out = common.result_path(word, _OUT.value, _RUNLOCAL.value)
  common.older_rows(out)
  # Late imports: --help and usage errors come at once.
  from experiments.benchmarks.race import encoder_cases
  from experiments.benchmarks.race import encoder_race
  from experiments.benchmarks.race import encoder_report

  made = common.made(word)
  # All cases are made first: a wrong one is refused before hours of the rest.
  cases = [
      encoder_cases.make_case(
          model,
          mode=word,
          dtype=dtype,
          heads=_HEADS.value,
          length=length,
          batch_size=_BATCH_SIZE.value,
          threads=os.cpu_count() or 1,
          tiny=_RUNLOCAL.value,
          keep_states=_KEEP_STATES.value,
      )
      for model, length, dtype in itertools.product(
          _MODELS.value or encoder_cases.model_names(),
          lengths or [0],
          _DTYPES.value,
      )
  ]
  for case in cases:
    row = encoder_race.race(
        case, root=common.REPO, peer=peer, repeats=_REPEATS.value
    )
    print(encoder_race.describe(row), flush=True)
    common.add_row(out, row | made, encoder_report.to_markdown, mode=word)

r"""Fine-tunes over stratified folds and seeds, and writes a table of the tests.

  python experiments/finetune.py --workdir results/bot --folds 5 --seeds 3 \
      --config configs/finetune.py:task=bot,run=runs/gate,labels=bot.csv

Ctrl-C or SIGTERM saves and leaves; the same command goes on. The folder gets a
run folder per fold and seed, with the predictions of its test users, and
result.json and result.md.
"""

from pathlib import Path

from absl import flags

from behavior_lm.common.command_flags import define_config
from behavior_lm.common.errors import run_command
from behavior_lm.common.errors import UserError
from behavior_lm.common.host_memory import keep_freed_memory
from behavior_lm.common.lock import held

_CONFIG = define_config(
    "configs/finetune.py", "The config program, with its arguments."
)
_WORKDIR = flags.DEFINE_string("workdir", None, "The folder of the result.")
_FOLDS = flags.DEFINE_integer("folds", 5, "Folds by user.")
_SEEDS = flags.DEFINE_integer("seeds", 1, "Repetitions with other folds.")


def main(argv: list[str]) -> None:
  """Fine-tunes and tests."""
  del argv
  # Late imports: --help and usage errors come at once.
  from behavior_lm.downstream import folds

  if not _WORKDIR.value:
    raise UserError("no --workdir: name the folder of the result.")
  with held(Path(_WORKDIR.value), f"--workdir {_WORKDIR.value}"):
    result = folds.run_folds(
        _CONFIG.value,
        _WORKDIR.value,
        num_folds=_FOLDS.value,
        num_seeds=_SEEDS.value,
    )
  if result is not None:
    print(folds.to_markdown(result))


if __name__ == "__main__":
  keep_freed_memory()
  run_command(main)

r"""Arms of the interest system on one dataset, by equal numbers of steps.

  python experiments/studies/interest/run.py --data DATA --work runs/interest

DATA is a folder of experiments/prepare.py with held-out users. Finished runs in
--work are kept; the result is written again after each. Writes
experiments/results/interest_taobao.{json,md}: figures only, no id of a log.
"""

from pathlib import Path

from absl import flags

from behavior_lm.artifacts.commands import this_command
from behavior_lm.common.errors import run_command
from behavior_lm.common.errors import UserError
from behavior_lm.common.host_memory import keep_freed_memory
from experiments.studies.results import checked_out
from experiments.studies.results import write_result

_DATA = flags.DEFINE_string("data", "", "The dataset folder.")
_WORK = flags.DEFINE_string("work", "", "A folder for the runs.")
_ARMS = flags.DEFINE_list("arms", [], "Of the study; all if empty.")
_STEPS = flags.DEFINE_integer("steps", 100, "Of each run.")
_RATE = flags.DEFINE_float("learning_rate", 3e-3, "Of all runs.")
_BATCH = flags.DEFINE_integer("batch_size", 64, "Users of a step.")
_LENGTH = flags.DEFINE_integer("long_length", 100, "Events of long sequences.")
_EMBED = flags.DEFINE_integer("embed_dim", 32, "Width.")
_LAYERS = flags.DEFINE_integer("num_layers", 1, "Of each tower.")
_EXPERTS = flags.DEFINE_integer("num_experts", 16, "That are routed to.")
_SEED = flags.DEFINE_integer("seed", 0, "Of parameters and batches.")
_OUT = flags.DEFINE_string(
    "out",
    "experiments/results/interest_taobao",
    "Result files without their endings.",
)


def main(argv: list[str]) -> None:
  """Trains and ranks each arm."""
  del argv
  if not _DATA.value or not _WORK.value:
    raise UserError("--data and --work are both needed; see --help.")
  out = checked_out(_OUT.value)
  # Late imports: --help and usage errors come at once.
  from behavior_lm.logs.dataset import open_dataset
  from experiments.studies.interest import interest_study as study

  names = _ARMS.value or list(study.ARMS)
  for name in names:
    if name not in study.ARMS:
      raise UserError(
          f"--arms {name!r}; known are {', '.join(study.ARMS)}."
      )
  changes = {
      "optim.learning_rate": _RATE.value,
      "data.batch_size": _BATCH.value,
      "data.long_length": _LENGTH.value,
      "data.short_length": 12,
      "vocabulary.min_count": 2,
      "model.embed_dim": _EMBED.value,
      "model.mlp_dim": 2 * _EMBED.value,
      "model.num_layers": _LAYERS.value,
      "experts.num_experts": _EXPERTS.value,
      "experts.mlp_dim": 2 * _EMBED.value,
  }
  dataset = open_dataset(_DATA.value)
  models, runs = {}, {}
  counts, unfair = None, set[str]()
  for name in names:
    config = study.arm_config(
        name,
        _DATA.value,
        steps=_STEPS.value,
        seed=_SEED.value,
        changes=changes,
    )
    if counts is None:
      counts, unfair = study.baselines(
          config.copy_and_resolve_references(), dataset
      )
    folder = Path(_WORK.value) / f"{name}_{_SEED.value}"
    models[name] = study.run_arm(config, folder, dataset)
    runs[name] = study.run_figures(folder)
    result = {
        "command": this_command(),
        "data": dataset.path.resolve().name,
        "data_fingerprint": dataset.meta["fingerprint"],
        "users": len(models[name].users),
        "others": min(100, len(models[name].users) - 1),
        "steps": _STEPS.value,
        "batch_size": _BATCH.value,
        "seed": _SEED.value,
        "changes": changes,
        "rows": study.make_rows(models, counts, unfair),
        "pairs": study.paired(models),
        "runs": runs,
    }
    write_result(out, result, study.page(result))


if __name__ == "__main__":
  keep_freed_memory()
  run_command(main)

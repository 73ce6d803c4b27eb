r"""Trains a model: see configs/ for the kinds of runs and their settings.

  python experiments/train.py --workdir runs/gate \
      --config configs/pretrain.py:size=small,time=gate --config.data.path=DATA

Ctrl-C or SIGTERM saves and leaves; the same command resumes the run.
"""

from pathlib import Path
import shlex
from typing import Any

from absl import flags

from behavior_lm.common.command_flags import define_config
from behavior_lm.common.errors import run_command
from behavior_lm.common.errors import UserError
from behavior_lm.common.host_memory import keep_freed_memory

_CONFIG = define_config(
    "configs/pretrain.py", "The config program, with its arguments."
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "The run folder; made if absent, resumed if present."
)
flags.DEFINE_alias("run", "workdir")

# What to do with a trained run, by recipe.
_NEXT = {
    "pretrain": "python experiments/evaluate.py --run {run} --data {data}",
    "ranking": "python experiments/evaluate.py --run {run} --best",
    "finetune": "behavior_lm.FineTuned.load({folder!r}).predict(logs)",
    "interest": "python experiments/evaluate.py --run {run} --data {data}",
    "retrieval": "python experiments/evaluate.py --run {run} --data {data}",
}


def main(argv: list[str]) -> None:
  """Trains."""
  del argv
  # Late imports: --help and usage errors come at once.
  from behavior_lm.recipes.train import train

  if not _WORKDIR.value:
    raise UserError("no --workdir: name the folder that the run is kept in.")
  _make_data(_CONFIG.value, Path(_WORKDIR.value))
  outcome = train(_CONFIG.value, _WORKDIR.value)
  following = _NEXT.get(_CONFIG.value.recipe)
  if outcome != "stopped" and _CONFIG.value.evals and following:
    run, data = _WORKDIR.value, str(_CONFIG.value.data.path)
    if "--data" in following and not _can_evaluate(run, data):
      following = "python experiments/embed.py --run {run} --data {data}"
    values = dict(run=shlex.quote(run), data=shlex.quote(data), folder=run)
    print(f"next: {following.format(**values)}")


def _can_evaluate(run: str, data: str) -> bool:
  """Whether the data has a split that an evaluator of the run scores."""
  from behavior_lm.logs.dataset import open_dataset
  from behavior_lm.recipes.evaluate import evaluator_names

  try:
    return bool(evaluator_names(run, open_dataset(data)))
  except UserError:
    return False


def _make_data(config: Any, workdir: Path) -> None:
  """Prepares synthetic logs beside the run where a config asks for them."""
  kind = config.data.get("synthetic")
  if config.data.path or not kind:
    return
  from behavior_lm.synthetic.datasets import make_dataset

  folder = workdir.with_name(workdir.name + "_data")
  config.data.path = str(make_dataset(kind, folder))
  print(f"no --config.data.path: generated logs ({kind}) in {folder}")


if __name__ == "__main__":
  keep_freed_memory()
  run_command(main)

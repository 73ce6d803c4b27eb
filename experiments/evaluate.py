"""Scores runs by the evaluators that their configs name, beside baselines.

  python experiments/evaluate.py --run runs/none,runs/gate --data DATA

Runs of configs/ranking.py know their tables: --data is another folder of
tables, and may be left out.

Writes evaluations/NAME.json and NAME.md into each run folder, and the table of
all runs to --out.
"""

import contextlib
from pathlib import Path
from typing import Any

from absl import flags

from behavior_lm.common.errors import run_command
from behavior_lm.common.errors import UserError
from behavior_lm.common.host_memory import keep_freed_memory
from behavior_lm.common.lock import held
from behavior_lm.common.lock import held_beside

_RUN = flags.DEFINE_list("run", [], "Run folders of train.py, by comma.")
flags.DEFINE_alias("runs", "run")
_DATA = flags.DEFINE_string(
    "data", None, "A dataset folder of experiments/prepare.py."
)
_EVALUATORS = flags.DEFINE_list(
    "evaluators",
    [],
    "Names in the runs' config.evals; empty is each whose split the data has.",
)
_SPLIT = flags.DEFINE_string(
    "split", "", "The split that is scored; empty is the evaluator's own."
)
_BEST = flags.DEFINE_bool(
    "best", False, "Score the best checkpoint of each run, not the last one."
)
_OUT = flags.DEFINE_string(
    "out", "", "Also write the table of all runs to OUT.json and OUT.md."
)


def main(argv: list[str]) -> None:
  """Scores runs and baselines."""
  del argv
  from behavior_lm.artifacts.evaluation import FOLDER
  from behavior_lm.artifacts.evaluation import write_evaluation
  from behavior_lm.artifacts.run_folder import load_run_config
  from behavior_lm.evaluation import table
  from behavior_lm.logs.dataset import open_dataset
  from behavior_lm.recipes import evaluate
  from behavior_lm.recipes.evaluate_requests import evaluate_requests

  if not _RUN.value:
    raise UserError("--run is missing; see --help.")
  ranks = load_run_config(_RUN.value[0]).recipe == "ranking"
  dataset: Any = None
  if ranks:
    names = _EVALUATORS.value or ["test"]
  elif not _DATA.value:
    raise UserError("--data is missing; see --help.")
  else:
    dataset = open_dataset(str(_DATA.value))
    names = _EVALUATORS.value or evaluate.evaluator_names(
        _RUN.value[0], dataset, _SPLIT.value
    )
  paths: list[Path] = []
  with contextlib.ExitStack() as alone:
    for run in dict.fromkeys(_RUN.value):
      load_run_config(run)  # Nothing is made where there is no run.
      alone.enter_context(held(Path(run) / FOLDER, f"--run {run}"))
    if _OUT.value:
      alone.enter_context(held_beside(Path(_OUT.value), f"--out {_OUT.value}"))
    for name in names:
      print(f"{name}: scoring {', '.join(_RUN.value)}", flush=True)
      if ranks:
        result = evaluate_requests(
            _RUN.value, name, _DATA.value or "", best=_BEST.value
        )
      else:
        result = evaluate.evaluate_runs(
            _RUN.value, dataset, name, _SPLIT.value, best=_BEST.value
        )
      for place, run in enumerate(_RUN.value):
        one = evaluate.of_one_run(result, place)
        paths += write_evaluation(Path(run) / FOLDER, name, one)
      if _OUT.value:
        out = Path(_OUT.value)
        whole = out.name if len(names) == 1 else f"{out.name}_{name}"
        paths += write_evaluation(out.parent, whole, result)
      table.show(result)
  print("table: " + ", ".join(str(p) for p in paths if p.suffix == ".md"))


if __name__ == "__main__":
  keep_freed_memory()
  run_command(main)

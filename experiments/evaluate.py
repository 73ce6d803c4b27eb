"""Masked perplexity of runs beside count models, on the same events.

  python experiments/evaluate.py --runs runs/none,runs/gate --data DATA

Writes evaluation.json and evaluation.md into each run folder, and the table
of all of them to --out.
"""

from pathlib import Path

from absl import flags

from behavior_lm.common.errors import run_command
from behavior_lm.common.errors import UserError
from behavior_lm.common.host_memory import keep_freed_memory

_RUNS = flags.DEFINE_list("runs", [], "Run folders of pretrain.py, by comma.")
_DATA = flags.DEFINE_string(
    "data", None, "A dataset folder of experiments/prepare.py."
)
_EVALUATOR = flags.DEFINE_string(
    "evaluator", "test", "An evaluator that the runs' configs name in evals."
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
  from behavior_lm.artifacts.commands import this_command
  from behavior_lm.evaluation import table
  from behavior_lm.logs.dataset import open_dataset
  from behavior_lm.recipes.evaluate import score_runs
  from behavior_lm.recipes.parts import data_name

  if not _RUNS.value or not _DATA.value:
    raise UserError("--runs and --data are both needed; see --help.")
  dataset = open_dataset(_DATA.value)
  scores = score_runs(
      _RUNS.value, dataset, _EVALUATOR.value, _SPLIT.value, best=_BEST.value
  )
  count = next(iter(scores.models.values())).count
  result = {
      "data": data_name(_DATA.value),
      "data_fingerprint": dataset.meta["fingerprint"],
      "split": scores.split,
      **scores.settings,
      "num_masked": int(count.sum()),
      "num_events": dataset.meta["splits"][scores.split]["num_events"],
      "num_users": dataset.meta["splits"][scores.split]["num_users"],
      "vocab_size": scores.vocab_size,
      "config_hash": dict(scores.hashes),
      "command": this_command(),
  }
  rows = table.make_rows(scores.models, scores.seeds, scores.baselines)
  paths = []
  for run, name in zip(_RUNS.value, scores.models, strict=True):
    own = [row for row in rows if row["model"] not in scores.models]
    own = [row for row in rows if row["model"] == name] + own
    one = result | {"rows": own, "config_hash": scores.hashes[name]}
    paths += table.write(one, Path(run), "evaluation")
  if _OUT.value:
    out = Path(_OUT.value)
    paths += table.write(result | {"rows": rows}, out.parent, out.name)
  table.show(result | {"rows": rows})
  print("table: " + ", ".join(str(p) for p in paths if p.suffix == ".md"))


if __name__ == "__main__":
  keep_freed_memory()
  run_command(main)

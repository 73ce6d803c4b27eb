r"""The five encoders side by side: equal training time, the same hidden events.

  python experiments/studies/encoders/run.py --data DATA --workdir runs/encoders
  python experiments/studies/encoders/run.py --data DATA \
      --workdir runs/encoders --runs bert,longformer

Without --runs: pair tokens for all, then a second seed and BPE for the best.
Rows of 2,048 tokens; `bert_128` reads the same log in windows of 128. Each
run is measured (--probe_steps), trained (--minutes) and scored once; after
each the tables OUT.json, OUT.md and OUT.png are written anew from all that
are finished. Ctrl-C or SIGTERM saves; the same command goes on.
"""

import os
from pathlib import Path
from typing import Any

from absl import flags
import ml_collections

from behavior_lm.common.errors import run_command
from behavior_lm.common.errors import UserError
from behavior_lm.common.host_memory import keep_freed_memory
from configs.pretrain import get_config
from configs.pretrain import own_settings
from experiments.studies.results import beside
from experiments.studies.results import write_result

_REPO = Path(__file__).resolve().parents[3]

_DATA = flags.DEFINE_string(
    "data", "", "A dataset folder of experiments/prepare.py."
)
_WORKDIR = flags.DEFINE_string(
    "workdir", "runs/encoders", "Run folders, scores; kept for the next time."
)
_RUNS = flags.DEFINE_list(
    "runs", [], "Which runs, by comma; not given: the first, then the best."
)
_BEST = flags.DEFINE_integer(
    "best", 2, "Without --runs: so many get a second seed and BPE."
)
_MINUTES = flags.DEFINE_float("minutes", 15.0, "Training steps of each run.")
_PROBE_STEPS = flags.DEFINE_integer(
    "probe_steps", 40, "Steps that are tried first, to know how many fit."
)
_SPLIT = flags.DEFINE_string("split", "test", "The split that is scored.")
_SIZE = flags.DEFINE_string("size", "small", "Of configs/pretrain.py.")
_OUT = flags.DEFINE_string(
    "out", "experiments/results/encoders", "Files to write, no ending."
)

ENCODERS = ("bert", "longformer", "modern", "albert", "reformer")

# How all of them read: rows of 2,048 tokens; 4,096 a step.
LONG = {"data.max_length": 2_048, "data.batch_size": 2}
SHORT = {"data.max_length": 128, "data.batch_size": 32}

# name -> (argument of configs/pretrain.py, what differs from it)
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("model=bert", LONG),
    "longformer": ("model=longformer", LONG),
    "modern": ("model=modern", LONG),
    "albert": ("model=albert", LONG),
    "reformer": ("model=reformer", LONG),
    # What long rows cost or give, all else equal.
    "bert_128": ("model=bert", SHORT),
    "bert_seed1": ("model=bert", LONG | {"seed": 1}),
    "longformer_seed1": ("model=longformer", LONG | {"seed": 1}),
    "modern_seed1": ("model=modern", LONG | {"seed": 1}),
    "albert_seed1": ("model=albert", LONG | {"seed": 1}),
    "reformer_seed1": ("model=reformer", LONG | {"seed": 1}),
    "bert_bpe": ("model=bert,tokens=bpe", LONG),
    "longformer_bpe": ("model=longformer,tokens=bpe", LONG),
    "modern_bpe": ("model=modern,tokens=bpe", LONG),
    "albert_bpe": ("model=albert,tokens=bpe", LONG),
    "reformer_bpe": ("model=reformer,tokens=bpe", LONG),
}
FIRST = (*ENCODERS, "bert_128")


def make_config(name: str) -> ml_collections.ConfigDict:
  """The config of a run, but for its steps."""
  argument, changes = RUNS[name]
  config = get_config(f"{argument},size={_SIZE.value}")
  config.data.path = _DATA.value
  config.evals.test.split = _SPLIT.value
  config.update_from_flattened_dict(changes)
  length = config.data.max_length
  config.data.max_segments = max(8, length // 128)
  # Windows and chunks that belong to the length.
  config.model.update(own_settings(config.model, length))
  return config


def _first_seed(name: str) -> str | None:
  """The run that a run repeats with another seed."""
  first = name.removesuffix("_seed1")
  return None if first == name else first


def main(argv: list[str]) -> None:
  """Runs what is left, writes the tables after each."""
  del argv
  # Late imports: --help and usage errors come at once.
  from behavior_lm.artifacts.commands import code_version
  from behavior_lm.logs.dataset import open_dataset
  from behavior_lm.recipes.shared.parts import encoder_config
  from experiments.studies import timed_runs
  from experiments.studies.encoders import encoder_tables

  if not _DATA.value:
    raise UserError("--data is missing; see --help.")
  names = list(_RUNS.value or FIRST)
  unknown = sorted(set(names) - RUNS.keys())
  if unknown:
    raise UserError(f"--runs: no {unknown}; there are {list(RUNS)}.")
  for name in names:
    # A model that is not there is named before hours of training.
    encoder_config(make_config(name), vocab_size=100)
  dataset = open_dataset(_DATA.value)
  if _SPLIT.value not in dataset.splits:
    raise UserError(
        f"--split: the dataset has no {_SPLIT.value!r}, only"
        f" {sorted(dataset.splits)}."
    )
  study = Path(_WORKDIR.value)
  # Of the code that is loaded; files may change while runs are trained.
  code = code_version(_REPO)
  say = lambda text: print(f"== {text}", flush=True)
  best_chosen = bool(_RUNS.value)
  while names:
    done = timed_runs.finish_run(
        names[0],
        make_config(names[0]),
        study,
        dataset,
        minutes=_MINUTES.value,
        probe_steps=_PROBE_STEPS.value,
        say=say,
        first_seed=_first_seed(names[0]),
        code=code,
    )
    if not done:
      say("stopped; the same command goes on")
      return
    names.pop(0)
    result = encoder_tables.make_result(
        study,
        timed_runs.finished(study, list(RUNS)),
        dataset,
        {f"{model}_bpe": model for model in ENCODERS},
        say,
    )
    _write(result)
    if not names and not best_chosen:
      best_chosen = True
      best = encoder_tables.best_runs(result, list(ENCODERS))[: _BEST.value]
      say(f"the best: {', '.join(best)}")
      names = [f"{name}_{kind}" for kind in ("seed1", "bpe") for name in best]


def _write(result: dict[str, Any]) -> None:
  from behavior_lm.artifacts.commands import this_command
  from experiments.studies.encoders import encoder_study_report
  from experiments.studies.encoders import figure as encoder_curves

  out = Path(_OUT.value)
  figure = beside(out, ".png")
  result |= {
      "data": Path(_DATA.value).resolve().name,
      "machine": f"{os.cpu_count()} cores",
      "figure": figure.name,
      "command": this_command(),
  }
  write_result(out, result, encoder_study_report.to_markdown(result))
  encoder_curves.draw(result, figure)
  print(f"figure: {figure}", flush=True)


if __name__ == "__main__":
  keep_freed_memory()
  run_command(main)

r"""Trains the runs of an ablation and writes its table, figure and LaTeX.

  python experiments/sweep.py --sweep experiments/ablations/time_encodings.py \
      --data DATA --workdir runs/time --minutes 5 --seeds 0,1,2

Each run is trained for the same minutes (how many steps fit is measured first)
or, with --steps, for the same steps, and scored once. After each run the files
OUT.json, .md, .tex, .png and .pdf are written anew from all that are finished.
With --probe_data and --probe_labels, the vectors of each run are judged by what
a logistic regression reads off them (an AUC, cross-validated by user).
A run that fails is named in the table and does not stop the others. Ctrl-C or
SIGTERM saves; the same command goes on. --runlocal shows in minutes that it
works, on generated logs where no dataset is named.
"""

from pathlib import Path
import traceback
from typing import Any

from absl import flags

from behavior_lm.common.errors import run_command
from behavior_lm.common.errors import UserError
from behavior_lm.common.host_memory import keep_freed_memory
from behavior_lm.common.lock import held
from behavior_lm.common.lock import held_beside

_REPO = Path(__file__).resolve().parents[1]

_SWEEP = flags.DEFINE_string("sweep", "", "A file of experiments/ablations.")
_DATA = flags.DEFINE_string(
    "data", "", "A dataset folder of experiments/prepare.py."
)
_WORKDIR = flags.DEFINE_string(
    "workdir", "", "Run folders and scores; runs/sweep_NAME if not given."
)
_OUT = flags.DEFINE_string(
    "out", "", "Files to write, no ending; WORKDIR/table if not given."
)
_ROWS = flags.DEFINE_list("rows", [], "Names of rows, by comma; empty is all.")
_SEEDS = flags.DEFINE_list("seeds", ["0"], "One run of each row per seed.")
_MINUTES = flags.DEFINE_float(
    "minutes", 0.0, "Training steps of each run; the file's if not given."
)
_STEPS = flags.DEFINE_integer("steps", 0, "Instead of minutes: so many steps.")
_PROBE_DATA = flags.DEFINE_list(
    "probe_data", [], "Datasets of users with labels, by comma."
)
_PROBE_LABELS = flags.DEFINE_list(
    "probe_labels", [], "For each, a table of user_id and columns of 0 and 1."
)
_PROBE_STEPS = flags.DEFINE_integer(
    "probe_steps", 30, "Steps that are tried first, to know how many fit."
)
_ARG = flags.DEFINE_string(
    "arg", "", "More of each config's argument: size=tiny, for example."
)
_RUNLOCAL = flags.DEFINE_bool(
    "runlocal", False, "Tiny models, 20 steps: to see that it works."
)


def main(argv: list[str]) -> None:
  """Runs what is left, writes the table after each run."""
  del argv
  # Late imports: --help and usage errors come at once.
  from experiments.studies.sweep import sweep_file

  if not _SWEEP.value:
    raise UserError("--sweep is missing; see --help.")
  sweep = sweep_file.read_sweep(_SWEEP.value)
  rows = _ROWS.value or list(sweep.rows)
  if unknown := sorted(set(rows) - sweep.rows.keys()):
    raise UserError(f"--rows: no {unknown}; there are {list(sweep.rows)}.")
  if odd := [seed for seed in _SEEDS.value if not seed.isdecimal()]:
    raise UserError(f"--seeds {odd[0]!r}: give whole numbers.")
  steps = 20 if _RUNLOCAL.value else _STEPS.value
  minutes = _MINUTES.value or sweep.minutes
  if not steps and not minutes > 0:
    raise UserError("give --minutes or --steps; the file has no MINUTES.")
  study = Path(_WORKDIR.value or f"runs/sweep_{sweep.name}")
  out = Path(_OUT.value) if _OUT.value else study / "table"
  with held(study, f"--workdir {study}"), held_beside(out, f"--out {out}"):
    _run_all(sweep, study, rows, steps, minutes)


def _run_all(
    sweep: Any, study: Path, rows: list[str], steps: int, minutes: float
) -> None:
  """Runs what is left; the table is written after each run."""
  from behavior_lm.artifacts.commands import code_version
  from behavior_lm.logs.dataset import open_dataset
  from experiments.studies import equal_time
  from experiments.studies import timed_runs
  from experiments.studies.sweep import sweep_file
  from experiments.studies.sweep import sweep_probe

  data = _data(study)
  probe = sweep_probe.SweepProbe(_PROBE_DATA.value, _PROBE_LABELS.value)
  probes: dict[str, Any] = {}
  argument = ",".join(
      text for text in (_ARG.value, "runlocal=1" * _RUNLOCAL.value) if text
  )
  runs = {
      (row, seed): sweep_file.make_config(
          sweep, row, data=data, seed=int(seed), argument=argument
      )
      for seed in _SEEDS.value
      for row in rows
  }
  dataset = open_dataset(data)
  code = code_version(_REPO)
  failed: dict[str, str] = {}
  for place, ((row, seed), config) in enumerate(runs.items(), 1):
    name = f"{row}_seed{seed}"
    print(f"== {place} of {len(runs)}: {name}", flush=True)
    try:
      done = timed_runs.finish_run(
          name,
          config,
          study,
          dataset,
          minutes=minutes,
          probe_steps=_PROBE_STEPS.value,
          say=lambda text: print(f"== {text}", flush=True),
          first_seed=f"{row}_seed{_SEEDS.value[0]}",
          code=code,
          steps=steps,
      )
      if done:
        folder = study / name
        probes[name] = probe.finish(folder, folder / equal_time.RUN)
    # Whatever it is: a failed run does not stop the others.
    except Exception as error:
      if not isinstance(error, UserError):
        traceback.print_exc()
      failed[name] = str(error) or type(error).__name__
      print(f"== {name} failed: {failed[name]}", flush=True)
      continue
    if not done:
      print("== stopped; the same command goes on", flush=True)
      return
    _write(sweep, study, rows, dataset, failed, steps, minutes, probes)
  if failed:
    raise UserError(
        f"{len(failed)} of {len(runs)} runs failed: {', '.join(failed)}; see"
        " above. The same command tries them again."
    )


def _data(study: Path) -> str:
  if _DATA.value:
    return _DATA.value
  if not _RUNLOCAL.value:
    raise UserError("--data is missing; see --help.")
  from behavior_lm.synthetic.datasets import make_dataset

  return str(make_dataset("game", study / "data"))


def _write(
    sweep: Any,
    study: Path,
    rows: list[str],
    dataset: Any,
    failed: dict[str, str],
    steps: int,
    minutes: float,
    probes: dict[str, Any],
) -> None:
  from behavior_lm.artifacts.commands import this_command
  from experiments.studies import timed_runs
  from experiments.studies.results import write_result
  from experiments.studies.sweep import sweep_page
  from experiments.studies.sweep import sweep_table

  runs = {
      row: timed_runs.finished(
          study, [f"{row}_seed{seed}" for seed in _SEEDS.value]
      )
      for row in rows
  }
  result = sweep_table.make_table(
      study,
      {row: found for row, found in runs.items() if found},
      sweep.control,
      dataset,
      probes,
  )
  result |= {
      "name": sweep.name,
      "hypothesis": sweep.hypothesis,
      "data": dataset.path.resolve().name,
      "data_fingerprint": dataset.meta["fingerprint"],
      "budget": f"{steps:,} steps" if steps else f"{minutes:g} minutes",
      "failed": failed,
      "command": this_command(),
  }
  out = Path(_OUT.value) if _OUT.value else study / "table"
  page = sweep_page.to_markdown(result)
  write_result(out, result, page, {".tex": sweep_page.to_latex(result)})
  paths = sweep_page.draw(result, out)
  print(f"figures: {', '.join(map(str, paths))}", flush=True)


if __name__ == "__main__":
  keep_freed_memory()
  run_command(main)

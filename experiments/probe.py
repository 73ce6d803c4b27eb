r"""What do the vectors tell about a label, beside plain event counts?

  python experiments/probe.py --embeddings RUN/embeddings/users.parquet \
      --data DATASET --labels labels.csv --out RUN/probe.json

Logistic regressions and forests, cross-validated by user. labels.csv has a
column user_id and columns of 0 and 1. Writes probe.json, and probe.md beside.
"""

import contextlib
from pathlib import Path
import shutil

from absl import flags

from behavior_lm.common.errors import run_command
from behavior_lm.common.errors import UserError
from behavior_lm.common.lock import held
from behavior_lm.common.signals import exit_when_stopped

_EMBEDDINGS = flags.DEFINE_string(
    "embeddings",
    None,
    "Parquet of experiments/embed.py; several rows of a user (days) are"
    " averaged by their events.",
)
_DATA = flags.DEFINE_string(
    "data", None, "A dataset folder of experiments/prepare.py."
)
_LABELS = flags.DEFINE_string(
    "labels", None, "CSV or Parquet: user_id and columns of 0 or 1."
)
_LABEL = flags.DEFINE_list("label", [], "Columns to probe; all if not given.")
_SPLITS = flags.DEFINE_list(
    "splits", [], "Where events are counted, train,test say; all if not given."
)
_OUT = flags.DEFINE_string(
    "out", None, "The .json file to write; probe.md comes beside it."
)
_FOLDS = flags.DEFINE_integer("folds", 5, "Parts of the users.", lower_bound=2)
_SEEDS = flags.DEFINE_list(
    "seeds", ["0", "1", "2"], "One repetition with other folds for each."
)
_ORACLE = flags.DEFINE_string(
    "oracle",
    "",
    "JSON of the best AUC that each label allows, or the truth file of"
    " experiments/generate.py.",
)

_DROP_CONTRADICTIONS = flags.DEFINE_bool(
    "drop_contradictions",
    False,
    "Leave users out that the labels name twice, once so and once otherwise;"
    " an error if not given.",
)


def main(argv: list[str]) -> None:
  """Probes every label."""
  del argv
  out = Path(_needed(_OUT))
  if out.suffix != ".json" or out.is_dir():
    raise UserError(f"--out {out}: give a .json file, RUN/probe.json say.")
  try:
    seeds = [int(seed) for seed in _SEEDS.value]
  except ValueError:
    raise UserError(f"--seeds {','.join(_SEEDS.value)}: not numbers.") from None
  if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
    raise UserError("--seeds: give different numbers, 0,1,2 say.")

  # Late imports: --help and usage errors come at once.
  from rich.console import Console
  from rich.table import Table

  from behavior_lm.artifacts import probe
  from behavior_lm.artifacts.commands import this_command
  from behavior_lm.common.progress import CommandProgress
  from behavior_lm.downstream import probe_files
  from behavior_lm.logs.dataset import open_dataset

  oracle = probe_files.read_oracle(_ORACLE.value) if _ORACLE.value else {}
  console = Console()
  parts = out.with_name(f"{out.name}.parts")
  line = CommandProgress()
  stopped = exit_when_stopped(
      f"what is done is in {parts}; run the same command again to continue."
  )
  alone = held(parts, f"--out {out}")
  with stopped, alone, contextlib.closing(line):
    data = probe_files.read_input(
        _needed(_EMBEDDINGS),
        open_dataset(_needed(_DATA)),
        _needed(_LABELS),
        splits=_SPLITS.value,
        names=_LABEL.value,
        drop_contradictions=_DROP_CONTRADICTIONS.value,
    )
    rows, notes = probe_files.probe_labels(
        data,
        num_folds=_FOLDS.value,
        seeds=seeds,
        progress=line.show,
        folder=parts,
    )
  num_users, notes = len(data.features.users), data.notes + notes
  result = {
      "rows": rows,
      "num_users": num_users,
      "oracle": oracle,
      "notes": notes,
      "command": this_command(),
  }
  table = Table(title=f"{num_users:,} users")
  for i, name in enumerate(probe.HEADER):
    table.add_column(name, justify="left" if i < 2 else "right")
  for row in rows:
    table.add_row(*probe.cells(row))
  console.print(table)
  for label, value in oracle.items():
    console.print(f"best AUC that label {label!r} allows: {value:.3f}")
  for note in notes:
    console.print(f"note: {note}", markup=False, highlight=False)
  paths = probe.write_probe(out, result)
  shutil.rmtree(parts, ignore_errors=True)
  print("probe: " + ", ".join(str(path) for path in paths))


def _needed(flag: flags.FlagHolder[str | None]) -> str:
  if not flag.value:
    raise UserError(f"--{flag.name} is missing; see --help.")
  return flag.value


if __name__ == "__main__":
  run_command(main)

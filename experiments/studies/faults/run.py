r"""Hits the main commands at random moments and counts what is lost or wrong.

  python experiments/studies/faults/run.py --work /tmp/faults

Faults are kill -9, SIGTERM and a limit on the size of files, at random moments
of prepare, train, evaluate, embed, export and report. The same command is then
started again, and its result is compared with that of a run that nothing hit.
Writes experiments/results/faults.{json,md}; see docs/reliability.md.
"""

from pathlib import Path
import random
from typing import Any

from absl import flags

from behavior_lm.common.errors import run_command
from behavior_lm.common.errors import UserError
from experiments.studies.results import checked_out
from experiments.studies.results import write_result

_WORK = flags.DEFINE_string("work", None, "An empty folder, for the runs.")
_COMMANDS = flags.DEFINE_list("commands", [], "Names; empty is all.")
_HITS = flags.DEFINE_integer("hits", 2, "Of each kind on each command.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the moments.")
_OUT = flags.DEFINE_string(
    "out", "experiments/results/faults", "Files without their endings."
)


def main(argv: list[str]) -> None:
  """Hits, counts, writes."""
  del argv
  from behavior_lm.artifacts.commands import this_command
  from experiments.studies.faults import fault_study as study

  out = checked_out(_OUT.value)
  if not _WORK.value:
    raise UserError("--work is missing; see --help.")
  work = Path(_WORK.value).resolve()
  if work.exists() and any(work.iterdir()):
    raise UserError(f"--work {work}: is not empty.")
  names = _COMMANDS.value or [one.name for one in study.COMMANDS]
  chosen = [one for one in study.COMMANDS if one.name in names]
  if len(chosen) < len(names):
    raise UserError(
        f"--commands {','.join(names)}: there are"
        f" {', '.join(one.name for one in study.COMMANDS)}."
    )
  rng = random.Random(_SEED.value)
  inputs = study.make_inputs(work)
  outcomes = []
  for command in chosen:
    want, seconds = study.reference(command, inputs, work)
    print(f"== {command.name}: {seconds:.1f} s, {len(want)} things compared")
    for fault in study.FAULTS:
      for _ in range(_HITS.value):
        found = study.hit(command, fault, inputs, work, want, seconds, rng)
        outcomes.append(found)
        print(f"   {found.fault}, {found.moment}: {_told(found)}", flush=True)
  result = {
      "outcomes": [study.to_json(one) for one in outcomes],
      "seed": _SEED.value,
      "command": this_command(),
  }
  write_result(out, result, study.to_markdown(result))


def _told(outcome: Any) -> str:
  if outcome.lost:
    return f"lost: {outcome.lost}"
  if outcome.wrong:
    return f"wrong: {', '.join(outcome.wrong)}"
  return "the same" + ("" if outcome.hit else " (it had ended before)")


if __name__ == "__main__":
  run_command(main)

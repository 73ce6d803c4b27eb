"""The main job, end to end, one command after the other.

  make demo                      on generated logs, with labels to probe
  make demo LOGS=mylogs.parquet  on your own (LABELS=labels.csv to probe)

Prints each command before it runs, so that you can run it yourself. If it is
stopped, the same command continues where it was.
"""

from pathlib import Path
import shlex
import subprocess
import sys
import time

from absl import flags

from behavior_lm.common import resumable
from behavior_lm.common.errors import run_command
from behavior_lm.common.errors import UserError

_LOGS = flags.DEFINE_string(
    "logs", "", "Your log: a file, a glob or a folder; empty generates one."
)
_LABELS = flags.DEFINE_string(
    "labels", "", "CSV or Parquet: user_id and columns of 0 or 1, to probe."
)
_OUT = flags.DEFINE_string(
    "out", "", "Where everything goes; runs/demo or runs/demo_NAME by default."
)
_SPLIT_TIME = flags.DEFINE_string(
    "split_time",
    "",
    "Your log: from here on events are test events; without it, a fifth of the"
    " users is held out instead.",
)
_SIZE = flags.DEFINE_string("size", "small", "Size of the model.")
_STEPS = flags.DEFINE_integer("steps", 1_200, "Steps of training.")
_MINUTES = flags.DEFINE_float("minutes", 4.0, "Training at most so long.")

# Ten generated days; the last three test.
_GENERATED = [
    "--num_users=300",
    "--num_days=10",
    "--mean_events_per_day=140",
    "--bad_rows=25",
]
_GENERATED_SPLIT = "2024-03-11"


def main(argv: list[str]) -> None:
  """Runs every stage."""
  del argv
  started = time.monotonic()
  name = Path(_LOGS.value.rstrip("/")).stem if _LOGS.value else ""
  safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in name)
  out = Path(_OUT.value or ("runs/demo_" + safe if safe else "runs/demo"))
  if out.is_file():
    raise UserError(f"--out {out} is a file; give a folder.")
  out.mkdir(parents=True, exist_ok=True)
  stages = Stages(out)
  data, run = out / "dataset", out / "run"
  logs, labels, split_time = _LOGS.value, _LABELS.value, _SPLIT_TIME.value

  oracle: list[str] = []
  if not logs:
    logs, labels = str(out / "logs.csv"), str(out / "labels.csv")
    split_time = _GENERATED_SPLIT
    # The generator knows the best AUC that its noisy labels allow.
    oracle = [f"--oracle={out / 'truth.json'}"]
    stages.run(
        "generate",
        f"--out={logs}",
        f"--labels={labels}",
        f"--truth={out / 'truth.json'}",
        *_GENERATED,
    )
  split = [f"--split_time={split_time}"] if split_time else []
  test = "test" if split_time else "heldout_users"
  stages.run(
      "prepare",
      f"--logs={logs}",
      f"--out={data}",
      *(split or ["--user_fraction=0.2"]),
      "--overwrite",
  )
  stages.run("fit_tokenizer", f"--data={data}", f"--out={out / 'tokenizer'}")
  stages.run(
      "train",
      f"--workdir={run}",
      f"--config=configs/pretrain.py:size={_SIZE.value},time=bucket",
      f"--config.data.path={data}",
      f"--config.tokenizer.path={out / 'tokenizer'}",
      f"--config.evals.test.split={test}",
      f"--config.total_steps={_STEPS.value}",
      f"--config.max_minutes={_MINUTES.value}",
  )
  stages.run("evaluate", f"--run={run}", f"--data={data}", f"--split={test}")
  embeddings = run / "embeddings" / "users.parquet"
  stages.run(
      "embed", f"--run={run}", f"--data={data}", "--unit=user",
      f"--out={embeddings}",
  )
  report = [f"--run={run}", f"--embeddings={embeddings}"]
  if labels:
    stages.run(
        "probe",
        f"--embeddings={embeddings}",
        f"--data={data}",
        f"--labels={labels}",
        f"--out={run / 'probe.json'}",
        "--seeds=0",
        *oracle,
    )
    report.append(f"--labels={labels}")
  stages.run("report", *report)

  print()
  print((run / "evaluations" / "test.md").read_text().strip())
  minutes = (time.monotonic() - started) / 60
  print(f"\n{minutes:.1f} minutes. Report: {run / 'report' / 'index.html'}")


class Stages:
  """Runs commands once: what finished is not repeated.

  A command is repeated if its flags or those of a command before it changed.

  Args:
    folder: keeps a marker of each command that finished.
    commands: the folder of the programs NAME.py.
  """

  def __init__(self, folder: Path, commands: str = "experiments") -> None:
    self._folder = folder
    self._commands = commands
    self._so_far: list[list[str]] = []

  def run(self, name: str, *arguments: str) -> None:
    """Runs NAME.py with these flags, unless that is done."""
    command = [f"{self._commands}/{name}.py", *arguments]
    print(f"\n$ python {shlex.join(command)}", flush=True)
    self._so_far.append(command)
    if resumable.finished(self._folder, name, request=self._so_far) is not None:
      print("  done already")
      return
    process = subprocess.Popen([sys.executable, *command])
    try:
      code = process.wait()
    except KeyboardInterrupt:
      # Ctrl-C reaches the stage too; it saves, then the demo leaves.
      code = process.wait()
      print("stopped; the same command continues.")
      sys.exit(130)
    if code:
      raise UserError(f"{name} failed with exit status {code}; see above.")
    resumable.finish(self._folder, name, {}, request=self._so_far)


if __name__ == "__main__":
  run_command(main)

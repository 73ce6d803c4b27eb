"""Measures the speed of what this package does.

  python experiments/benchmark.py --config configs/pretrain.py:size=small
  python experiments/benchmark.py ingest --sizes 1000000,10000000
  python experiments/benchmark.py ingest --plan

  python experiments/benchmark.py train --models bert --dtypes float32
  python experiments/benchmark.py forward
  python experiments/benchmark.py lengths --models longformer

The training step (the word `step` may be left out): tokens a second, and its
share of what this machine's plain matrix products reach in the same run.

Ingestion: from a log to a dataset, in seconds, events a second, memory and
disk, beside other programs on the same files (`make peers`); the results stay
in experiments/results, and --plan says from them what a log of a terabyte
needs.

`train` and `forward`: our encoders beside transformers' on the same work, turn
by turn in one run (`make peers`). Results are kept row by row, so models may be
measured one at a time. `lengths`: our training steps alone, from 1k to 32k
tokens a row: tokens a second and memory.
"""

from collections.abc import Callable
import functools
import itertools
import json
import os
from pathlib import Path
import platform
import shlex
import sys

from absl import flags
from ml_collections import config_flags

from behavior_lm.common.errors import run_command
from behavior_lm.common.errors import UserError
from behavior_lm.common.files import write_whole
from behavior_lm.common.host_memory import keep_freed_memory

_REPO = Path(__file__).resolve().parents[1]

_CONFIG = config_flags.DEFINE_config_file(
    "config", "configs/pretrain.py", "step: the config program."
)
_REPEATS = flags.DEFINE_integer(
    "repeats", 9, "step, train, forward: steps measured; the median."
)
_OUT = flags.DEFINE_string(
    "out",
    "",
    "Results, a .json (with a .md beside it). step: none unless given; others:"
    " experiments/results/WORD.json, with --runlocal runs/benchmark/WORD.json.",
)
_SIZES = flags.DEFINE_list(
    "sizes",
    ["1000000", "3000000", "10000000", "30000000", "50000000"],
    "ingest: events of each log.",
)
_FORMATS = flags.DEFINE_list("formats", ["parquet", "csv"], "ingest: of logs.")
_WORKERS = flags.DEFINE_list(
    "workers", ["1", "2"], "ingest: numbers of processes of prepare.py."
)
_PEERS = flags.DEFINE_list(
    "peers",
    ["pandas", "lifestream"],
    "ingest: programs of peers/ to run too; empty: ours alone.",
)
_PEERS_PYTHON = flags.DEFINE_string(
    "peers_python",
    str(_REPO / ".venv-peers" / "bin" / "python"),
    "The Python that runs what we compare with; `make peers` makes it.",
)
_PEERS_MAX = flags.DEFINE_integer(
    "peers_max", 10_000_000, "ingest: they hold the log in memory; not more."
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "ingest: for logs and datasets; a temporary folder."
)
_PLAN = flags.DEFINE_bool(
    "plan", False, "ingest: only show what a log of --plan_bytes needs."
)
_MODELS = flags.DEFINE_list("models", [], "train, ...: models; empty: all.")
_DTYPES = flags.DEFINE_list(
    "dtypes", ["float32", "bfloat16"], "train, forward: types to compute in."
)
_HEADS = flags.DEFINE_list(
    "heads",
    ["masked", "all"],
    "train, forward: positions where our head predicts.",
)
_LENGTHS = flags.DEFINE_list(
    "lengths", [], "train, ...: tokens of a row; empty: the model's."
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 0, "train, forward: rows; 0: the model's.", lower_bound=0
)
_MAX_GB = flags.DEFINE_float(
    "max_gb", 12.0, "lengths: programs that need more memory are not run."
)
_KEEP_STATES = flags.DEFINE_bool(
    "keep_states", False, "train reformer: ours keeps states for the gradient."
)
_RUNLOCAL = flags.DEFINE_bool(
    "runlocal", False, "train, ...: sizes of a second, to see that it works."
)
_PLAN_BYTES = flags.DEFINE_float("plan_bytes", 1e12, "ingest: of that log.")


def step(argv: list[str]) -> None:
  """Measures one config's training step."""
  del argv
  from experiments.benchmarks.step.throughput import measure_step

  _check_repeats()
  keep_freed_memory()  # as the commands that train do
  result = measure_step(_CONFIG.value, repeats=_REPEATS.value)
  print(
      f"training step: {result['tokens_per_second']:,.0f} tokens/s"
      f" ({result['step_ms']:.1f} ms, {result['num_params'] / 1e6:.2f} M"
      f" parameters), {result['step_gflops']:.0f} GFLOP/s:"
      f" {result['share']:.0%} of the {result['gemm_gflops']:.0f} GFLOP/s of"
      " plain products"
  )
  if _OUT.value:
    out = Path(_OUT.value)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(out, json.dumps(result, indent=1) + "\n")
    print(f"figures: {out}")


def ingest(argv: list[str]) -> None:
  """Measures the preparation of logs, or shows what was measured."""
  del argv
  from experiments.benchmarks.ingest import figure as ingest_curve
  from experiments.benchmarks.ingest import ingest_report
  from experiments.benchmarks.ingest import ingest_speed

  out = Path(_OUT.value or _REPO / "experiments" / "results" / "ingest.json")
  if _PLAN.value:
    if not out.is_file():
      raise UserError(f"{out}: no such file. Run the benchmark first.")
    rows = json.loads(out.read_text())["rows"]
    ours = [
        row for row in rows if row["subject"] == ingest_speed.ours_name(1)
    ]
    print(ingest_report.plan_to_markdown(ours, _PLAN_BYTES.value))
    return
  _check_peers()
  prepare = [sys.executable, str(_REPO / "experiments" / "prepare.py")]
  rows = ingest_speed.measure_all(
      prepare,
      {name: _peer(f"prepare_{name}") for name in _PEERS.value},
      sizes=_integers(_SIZES),
      formats=_FORMATS.value,
      workers=_integers(_WORKERS),
      peers_max=_PEERS_MAX.value,
      workdir=_WORKDIR.value,
      tell=_tell,
  )
  result = {
      "command": _command("ingest"),
      "machine": _machine(),
      "rows": rows,
  }
  _write(out, result, ingest_report.to_markdown)
  curve = out.with_suffix(".png")
  ingest_curve.draw(rows, curve)
  print(f"figures: {out}, {out.with_suffix('.md')}, {curve}")


def train(argv: list[str]) -> None:
  """Measures training steps beside transformers'."""
  del argv
  _race("train")


def forward(argv: list[str]) -> None:
  """Measures forward passes beside transformers'."""
  del argv
  _race("forward")


def _race(mode: str) -> None:
  from experiments.benchmarks.race import encoder_cases
  from experiments.benchmarks.race import encoder_race
  from experiments.benchmarks.race import encoder_report

  _check_repeats()
  _check_peers()
  out, _ = _older(mode)
  made = _made(mode)
  peer = _peer("encoder_speed") if _PEERS.value else None
  models = _MODELS.value or encoder_cases.model_names()
  # All of them first: a slip in the last one is told before hours of the rest.
  cases = [
      encoder_cases.make_case(
          model,
          mode=mode,
          dtype=dtype,
          heads=_HEADS.value,
          length=length,
          batch_size=_BATCH_SIZE.value,
          threads=os.cpu_count() or 1,
          tiny=_RUNLOCAL.value,
          keep_states=_KEEP_STATES.value,
      )
      for model, length, dtype in itertools.product(
          models, _integers(_LENGTHS) or [0], _DTYPES.value
      )
  ]
  for case in cases:
    row = encoder_race.race(
        case, root=_REPO, peer=peer, repeats=_REPEATS.value
    )
    _tell(encoder_race.describe(row))
    result = _with_older(mode, row | made)
    _write(out, result | {"mode": mode}, encoder_report.to_markdown)


def lengths(argv: list[str]) -> None:
  """Measures how speed and memory of our steps grow with the length."""
  del argv
  from experiments.benchmarks.lengths import encoder_lengths
  from experiments.benchmarks.lengths import figure as lengths_curve
  from experiments.benchmarks.race import encoder_cases

  _check_repeats()
  out, _ = _older("lengths")
  made = _made("lengths")
  cases = [
      encoder_cases.make_case(
          model,
          heads=["masked"],
          length=length,
          batch_size=encoder_lengths.batch_size(length),
          threads=os.cpu_count() or 1,
          tiny=_RUNLOCAL.value,
      )
      for model, length in itertools.product(
          _MODELS.value or encoder_cases.model_names(),
          _integers(_LENGTHS) or encoder_lengths.LENGTHS,
      )
  ]
  for case in cases:
    row = encoder_lengths.measure(
        case,
        root=_REPO,
        repeats=_REPEATS.value,
        max_bytes=1e9 * _MAX_GB.value,
    )
    _tell(encoder_lengths.describe(row))
    result = _with_older("lengths", row | made)
    _write(out, result, encoder_lengths.to_markdown)
    lengths_curve.draw(result["rows"], out.with_suffix(".png"))


def _older(word: str) -> tuple[Path, list[dict]]:
  """Where results go, and the rows that are there: all of one machine."""
  # Tiny cases never come among those that are published.
  folder = "runs/benchmark" if _RUNLOCAL.value else "experiments/results"
  out = Path(_OUT.value or _REPO / folder / f"{word}.json")
  if out.suffix != ".json":
    raise UserError(f"--out {out}: must end in .json; a .md comes beside it.")
  if not out.is_file():
    return out, []
  old = json.loads(out.read_text())
  if old["machine"] != _machine():
    raise UserError(
        f"{out} holds rows of another machine ({old['machine']}; here"
        f" {_machine()}), which one page cannot tell apart. Use another --out,"
        " or move that file away."
    )
  return out, old["rows"]


def _with_older(word: str, row: dict) -> dict:
  """Cases may be measured one by one: others keep their rows."""
  from experiments.benchmarks.race import encoder_report

  rows = encoder_report.merge(_older(word)[1], [row])
  return {"machine": _machine(), "rows": rows}


def _write(out: Path, result: dict, page: Callable[[dict], str]) -> None:
  """The figures, and the page beside them."""
  out.parent.mkdir(parents=True, exist_ok=True)
  write_whole(out, json.dumps(result, indent=1) + "\n")
  write_whole(out.with_suffix(".md"), page(result))


def _integers(flag: flags.FlagHolder) -> list[int]:
  if not all(text.isdecimal() and int(text) > 0 for text in flag.value):
    raise UserError(
        f"--{flag.name}={','.join(flag.value)}: whole numbers from 1 by comma,"
        " please."
    )
  return [int(text) for text in flag.value]


def _check_repeats() -> None:
  if _REPEATS.value < 1:
    raise UserError(f"--repeats {_REPEATS.value} must be 1 or more.")


def _tell(text: str) -> None:
  print(text, flush=True)


def _command(word: str) -> str:
  from behavior_lm.artifacts.commands import without_folders

  script = ["python", "experiments/benchmark.py", word]
  return without_folders(shlex.join([*script, *sys.argv[1:]]))


def _made(word: str) -> dict[str, str]:
  """What makes rows; asked before the first is measured."""
  from behavior_lm.artifacts.commands import code_version

  return {"command": _command(word), "commit": code_version(_REPO)}


def _machine() -> dict[str, object]:
  return {"cores": os.cpu_count(), "kind": platform.machine()}


def _peer(name: str) -> list[str]:
  """The command of a program of peers/."""
  return [_PEERS_PYTHON.value, str(_REPO / "peers" / f"{name}.py")]


def _check_peers() -> None:
  if _PEERS.value and not Path(_PEERS_PYTHON.value).exists():
    raise UserError(
        f"--peers_python {_PEERS_PYTHON.value}: does not exist. Run `make"
        " peers`, or pass --peers= to measure ours alone."
    )


_RACE = ("train", "forward")
# Of flags that not all words read: which do. Given to another, they would do
# nothing, and stand in the command that the results tell.
_READ_BY = {
    "config": ("step",),
    "repeats": ("step", *_RACE, "lengths"),
    "sizes": ("ingest",),
    "formats": ("ingest",),
    "workers": ("ingest",),
    "peers": ("ingest", *_RACE),
    "peers_python": ("ingest", *_RACE),
    "peers_max": ("ingest",),
    "workdir": ("ingest",),
    "plan": ("ingest",),
    "plan_bytes": ("ingest",),
    "models": (*_RACE, "lengths"),
    "dtypes": _RACE,
    "heads": _RACE,
    "lengths": (*_RACE, "lengths"),
    "batch_size": _RACE,
    "max_gb": ("lengths",),
    "keep_states": ("train",),
    "runlocal": (*_RACE, "lengths"),
}


def _check_flags(word: str) -> None:
  """Refuses flags that the word does not read."""
  for name in flags.FLAGS:
    # Of a config each setting is a flag: config.seed.
    words = _READ_BY.get(name.partition(".")[0])
    if words and flags.FLAGS[name].present and word not in words:
      raise UserError(
          f"--{name} means nothing to {word}; it is read by"
          f" {', '.join(words)}."
      )


_COMMANDS = {
    "step": step,
    "ingest": ingest,
    "train": train,
    "forward": forward,
    "lengths": lengths,
}


def main(word: str, argv: list[str]) -> None:
  """Does what the word before the flags says."""
  _check_flags(word)
  _COMMANDS[word](argv)


if __name__ == "__main__":
  # The word before the flags; without one, the training step.
  named = len(sys.argv) > 1 and sys.argv[1] in _COMMANDS
  run_command(functools.partial(main, sys.argv.pop(1) if named else "step"))

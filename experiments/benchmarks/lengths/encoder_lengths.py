"""How speed and memory of a training step grow with the length of a row."""

from collections.abc import Callable, Sequence
from pathlib import Path
import time
from typing import Any

import numpy as np

from behavior_lm.common.markdown import table
from experiments.benchmarks.race.encoder_cases import Case
from experiments.benchmarks.race.encoder_race import OURS
from experiments.benchmarks.race.encoder_race import Worker
from experiments.benchmarks.race.encoder_report import made_by

Row = dict[str, Any]
LENGTHS = (1024, 2048, 4096, 8192, 16_384, 32_768)
# Tokens of a step at least: shorter rows come several at a time.
MIN_TOKENS = 4096
# Long rows are measured for so many seconds, not for all repeats.
_SECONDS = 75.0
# The length to which longer ones are compared.
_BASE = 4096


def batch_size(length: int) -> int:
  """Rows of a step."""
  return max(1, MIN_TOKENS // length)


def measure(
    case: Case,
    *,
    root: Path,
    repeats: int,
    max_bytes: float,
) -> Row:
  """One point, in a process of its own.

  Args:
    case: see `encoder_cases.make_case`, of one head.
    root: of the checkout.
    repeats: steps at most; of long rows as many as fit into 75 seconds, and
      two if there are so many.
    max_bytes: a program that needs more is compiled, and not run.

  Returns:
    {"case", "program_bytes": {"arguments", "scratch"}, "skipped": why not, or
    "", "seconds" of each step, "tokens_per_second" of the median or None,
    "peak_bytes" of the process or None}.
  """
  (head,) = case["heads"]
  worker = Worker(OURS, root)
  try:
    told = worker.ask(do="setup", case=case)
    row: Row = {
        "case": case,
        "program_bytes": told["program_bytes"][head],
        "versions": told["versions"],
        "skipped": "",
        "seconds": [],
        "tokens_per_second": None,
        "peak_bytes": None,
    }
    needed = sum(row["program_bytes"].values())
    if needed > max_bytes:
      row["skipped"] = (
          f"needs {needed / 1e9:.1f} GB, limit {max_bytes / 1e9:.1f} GB"
      )
      return row
    worker.ask(do="step", head=head)  # first touch of the memory
    started = time.perf_counter()
    while len(row["seconds"]) < repeats:
      row["seconds"].append(worker.ask(do="step", head=head)["seconds"])
      late = time.perf_counter() - started > _SECONDS
      if late and len(row["seconds"]) > 1:
        break
    row["peak_bytes"] = worker.ask(do="memory")["peak_bytes"]
  finally:
    worker.close()
  tokens = case["batch_size"] * case["length"]
  row["tokens_per_second"] = tokens / float(np.median(row["seconds"]))
  return row


def describe(row: Row) -> str:
  """A row in one line."""
  case, speed = row["case"], row["tokens_per_second"]
  return (
      f"{case['model']}, {case['batch_size']} x {case['length']:,}:"
      f" {row['skipped'] or f'{speed:,.0f} tokens/s'}, scratch"
      f" {row['program_bytes']['scratch'] / 1e6:,.0f} MB"
  )


def scratch_a_token(row: Row) -> float:
  """Bytes of scratch memory for each token of the step."""
  tokens = row["case"]["batch_size"] * row["case"]["length"]
  return row["program_bytes"]["scratch"] / tokens


def to_markdown(result: dict[str, Any]) -> str:
  """The page experiments/results/lengths.md.

  Args:
    result: {"machine", "rows" of `measure`, each with the "command"}.
  """
  rows = sorted(result["rows"], key=lambda row: row["case"]["length"])
  case, machine = rows[0]["case"], result["machine"]
  versions = ", ".join(f"{k} {v}" for k, v in rows[0]["versions"].items())
  parts = [
      "# Training steps by length",
      made_by(result["rows"]),
      f"{machine['cores']} cores ({machine['kind']}); {versions};"
      f" {case['num_layers']} layers, width {case['embed_dim']},"
      f" {case['num_heads']} heads, feed-forward {case['mlp_dim']}, vocabulary"
      f" {case['vocab_size']:,}, {case['dtype']}, no dropout, head on masked"
      f" positions. Rows are full, of one segment; a step has {MIN_TOKENS:,}"
      " tokens, or one row where that is longer. Each point is a process of its"
      " own, the median of its steps, with the quartiles and how many they"
      " are. Scratch and arguments (parameters,"
      " optimiser, batch) are what the compiler says that the program needs;"
      " the peak is what the system says of the whole process.",
      _by_length(rows, "tokens/s", _speed),
      _by_length(
          rows, "scratch, KB a token", lambda row: _kilo(scratch_a_token(row))
      ),
      _by_length(rows, "scratch + arguments, MB", _program),
      _by_length(rows, "peak of the process, MB", _peak),
      f"Against {_BASE:,} tokens:",
      _growth(rows),
  ]
  return "\n\n".join(parts) + "\n"


def _speed(row: Row) -> str:
  speed = row["tokens_per_second"]
  if speed is None:
    return row["skipped"]
  tokens = row["case"]["batch_size"] * row["case"]["length"]
  seconds = row["seconds"]
  low, high = tokens / np.quantile(seconds, (0.75, 0.25))
  return f"{speed:,.0f} ({low:,.0f} to {high:,.0f}; {len(seconds)})"


def _kilo(value: float) -> str:
  return f"{value / 1e3:,.1f}"


def _program(row: Row) -> str:
  return f"{sum(row['program_bytes'].values()) / 1e6:,.0f}"


def _peak(row: Row) -> str:
  peak = row["peak_bytes"]
  return "-" if peak is None else f"{peak / 1e6:,.0f}"


def _by_length(
    rows: Sequence[Row], title: str, show: Callable[[Row], str]
) -> str:
  """One line a model, one column a length."""
  lengths = sorted({row["case"]["length"] for row in rows})
  cells: dict[str, dict[int, str]] = {}
  for row in rows:
    case = row["case"]
    cells.setdefault(case["model"], {})[case["length"]] = show(row)
  return table(
      [title, *(f"{length:,}" for length in lengths)],
      [
          [model, *(found.get(length, "-") for length in lengths)]
          for model, found in cells.items()
      ],
  )


def growth(rows: Sequence[Row]) -> list[Row]:
  """Of each model's longest measured row: how it keeps what it has at 4,096.

  Returns:
    {"model", "length", "speed": share of the tokens a second that is kept,
    "memory": scratch a token over that at 4,096} of models that have both.
  """
  found = []
  for model in dict.fromkeys(row["case"]["model"] for row in rows):
    ran = {
        row["case"]["length"]: row
        for row in rows
        if row["case"]["model"] == model and row["tokens_per_second"]
    }
    if _BASE not in ran or max(ran) == _BASE:
      continue
    base, last = ran[_BASE], ran[max(ran)]
    found.append({
        "model": model,
        "length": max(ran),
        "speed": last["tokens_per_second"] / base["tokens_per_second"],
        "memory": scratch_a_token(last) / scratch_a_token(base),
    })
  return found


def _growth(rows: Sequence[Row]) -> str:
  return table(
      ["", "longest row", "tokens/s kept", "scratch a token, times"],
      [
          [
              row["model"],
              f"{row['length']:,}",
              f"{row['speed']:.0%}",
              f"{row['memory']:.2f}",
          ]
          for row in growth(rows)
      ],
  )

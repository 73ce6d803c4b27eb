"""Experts beside a dense net: the word `moe` of experiments/benchmark.py."""

import dataclasses
from typing import Any

from absl import flags

from behavior_lm.common.host_memory import keep_freed_memory
from behavior_lm.common.markdown import table
from experiments.benchmarks import common
from experiments.studies.results import write_result

_USERS = flags.DEFINE_integer("users", 32, "Of a batch.")
_REPEATS = common.define_repeats()
_OUT = common.define_out("experiments/results/moe.json")
_RUNLOCAL = common.define_runlocal()


def main(word: str, argv: list[str]) -> None:
  """Measures the layer alone, and the whole model's training step."""
  del argv
  common.check_repeats(_REPEATS.value)
  path = common.result_path(word, _OUT.value, _RUNLOCAL.value)
  # Late import: --help and usage errors come at once.
  from experiments.benchmarks.moe import moe_speed

  keep_freed_memory()  # as the commands that train do
  sizes = moe_speed.TINY
  if not _RUNLOCAL.value:
    sizes = moe_speed.Sizes(users=_USERS.value)
  made = common.made(word)
  found = moe_speed.measure(sizes, _REPEATS.value)
  result = {
      "machine": common.machine(),
      **made,
      "sizes": dataclasses.asdict(sizes),
      "tokens": sizes.tokens,
      "repeats": _REPEATS.value,
      "parts": found,
  }
  page = to_page(result)
  print(page)
  write_result(path.with_suffix(""), result, page)


def to_page(result: dict[str, Any]) -> str:
  """The Markdown of a result."""
  sizes, experts = result["sizes"], result["sizes"]["experts"]
  rows = []
  for part, found in result["parts"].items():
    rows.append([
        part,
        *(
            f"{1 / found[name]['wall']:.2f} ({found[name]['cpu']:.2f} s)"
            for name in ("experts", "dense")
        ),
        f"{found['ratio']:.2f}",
        f"{found['cpu_ratio']:.2f}",
    ])
  return "\n".join([
      "# Experts beside a dense feed-forward net of the same active work",
      "",
      "    " + result["command"],
      "",
      f"{experts['num_experts']} experts and a shared one, {experts['top_k']}"
      f" per token, against one net as wide as {experts['top_k']} + 1 experts,"
      f" width {sizes['embed_dim']}, {result['tokens']:,} tokens per step,"
      f" {result['machine']['cores']} cores, float32. Steps per second and"
      " processor seconds per step, median of"
      f" {result['repeats']} turns; value and gradient (layer), the whole"
      " training step with Adam (model).",
      "",
      table(
          [
              "",
              "experts: steps/s",
              "dense: steps/s",
              "ratio",
              "ratio of processor time",
          ],
          rows,
      ),
      "",
  ])

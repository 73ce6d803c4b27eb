r"""How many of each token's best keys LSH attention finds, by rounds.

  python experiments/studies/lsh/run.py

Writes experiments/results/lsh_recall.{json,md,png}; about a minute on two
cores.
"""

import dataclasses
from typing import Any

from absl import flags

from behavior_lm.common.errors import run_command
from behavior_lm.common.errors import UserError
from experiments.studies.results import checked_out
from experiments.studies.results import write_result

_LENGTH = flags.DEFINE_integer("length", 1024, "Tokens a row.", lower_bound=64)
_CHUNK = flags.DEFINE_integer("chunk_size", 64, "Tokens a chunk.", 1)
_TOP_K = flags.DEFINE_integer("top_k", 8, "Best keys a token.", 1)
_ROUNDS = flags.DEFINE_multi_integer("rounds", [1, 2, 4, 8], "Of hashing.")
_SEEDS = flags.DEFINE_integer("seeds", 5, "Draws of vectors and hashes.", 1)
_OUT = flags.DEFINE_string(
    "out", "experiments/results/lsh_recall", "Files without their endings."
)


def main(argv: list[str]) -> None:
  """Measures every kind of vectors, writes numbers, table and figure."""
  del argv
  out = checked_out(_OUT.value)
  if _TOP_K.value > _LENGTH.value:
    raise UserError(
        f"--top_k {_TOP_K.value} is more than --length {_LENGTH.value}."
    )
  if min(_ROUNDS.value) < 1:
    raise UserError(f"--rounds {min(_ROUNDS.value)}: at least 1.")
  from behavior_lm.artifacts.commands import this_command
  from experiments.studies.lsh.figure import draw_recall
  from experiments.studies.lsh.lsh_recall import Setting
  from experiments.studies.lsh.lsh_recall import study

  setting = Setting(
      length=_LENGTH.value,
      chunk_size=_CHUNK.value,
      clusters=_LENGTH.value // 16,
      top_k=_TOP_K.value,
      rounds=max(_ROUNDS.value),
  )
  rows = study(range(_SEEDS.value), _ROUNDS.value, setting)
  result = {
      "command": this_command(),
      "seeds": _SEEDS.value,
      **dataclasses.asdict(setting),
      "rows": rows,
  }
  page = _page(result)
  print(page)
  write_result(out, result, page, {".png": draw_recall(rows)})


def _page(result: dict[str, Any]) -> str:
  from behavior_lm.attention.hashing import default_buckets
  from experiments.studies.lsh.figure import recall_table

  length, chunk = result["length"], result["chunk_size"]
  return "\n".join([
      "# Best keys that LSH attention finds, by rounds of hashing",
      "",
      "    " + result["command"],
      "",
      f"One segment of {length:,} tokens, {result['num_heads']} heads of"
      f" {result['head_dim']}; chunks of {chunk}, which see themselves and the"
      f" chunk before; {default_buckets(length, chunk)} buckets. A token's best"
      f" keys are the {result['top_k']} with the highest scores, itself not"
      f" among them. Mean over {result['seeds']} draws of vectors and hashes,"
      " and their range. Vectors are normal, or normal around"
      f" {result['clusters']} centres with the mean cosine that is named. By"
      " chance: the share of all keys that the chunks hold.",
      "",
      recall_table(result["rows"]),
      "",
  ])


if __name__ == "__main__":
  run_command(main)

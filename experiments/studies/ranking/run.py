r"""Compares rankers on CoLLM's cut of MovieLens, or on any table by config.

  python experiments/studies/ranking/run.py --data ml1m_ctr --work runs/study
  python experiments/studies/ranking/run.py --taobao LOG --work runs/taobao

Writes experiments/results/ranking_{ml1m_ctr,taobao}.{json,md}. Runs are kept in
--work: the same command goes on where it was stopped. --variants takes rows by
number (--list shows them), --seeds more draws; --set changes every config. LOG
is Taobao's UserBehavior.csv or its folder: it is prepared and cut into requests
of a user's hour first, in --work.
"""

from pathlib import Path
from typing import Any

from absl import flags

from behavior_lm.common.errors import run_command
from behavior_lm.common.errors import UserError
from behavior_lm.common.host_memory import keep_freed_memory
from experiments.studies.results import checked_out
from experiments.studies.results import write_result

_DATA = flags.DEFINE_string("data", "", "The folder of the tables.")
_TAOBAO = flags.DEFINE_string(
    "taobao", "", "Taobao's log, in the place of --data."
)
_LIST = flags.DEFINE_bool("list", False, "Only show the rows.")
_TABLE = flags.DEFINE_string("table", "ml1m_ctr", "As in configs/ranking.py.")
_WORK = flags.DEFINE_string("work", "", "The folder of the runs.")
_SEEDS = flags.DEFINE_integer("seeds", 1, "Runs of each row.", 1)
_VARIANTS = flags.DEFINE_list(
    "variants", [], "Rows by number, from 0; empty: all."
)
_SET = flags.DEFINE_multi_string(
    "set", [], "KEY=NUMBER or KEY=TEXT of every config, such as epochs=3."
)
_OUT = flags.DEFINE_string(
    "out",
    "",
    "Files without their endings; ranking_TABLE in experiments/results if not"
    " given.",
)


def _value(text: str) -> int | float | str:
  for kind in (int, float):
    try:
      return kind(text)
    except ValueError:
      continue
  return text


def main(argv: list[str]) -> None:
  """Trains all rows, and writes the table."""
  del argv
  table = "taobao" if _TAOBAO.value else _TABLE.value
  out = checked_out(_OUT.value or f"experiments/results/ranking_{table}")
  if not _LIST.value:
    if bool(_DATA.value) == bool(_TAOBAO.value) or not _WORK.value:
      raise UserError("--work and --data or --taobao are needed; see --help.")
  import numpy as np

  from behavior_lm.artifacts.commands import this_command
  from behavior_lm.evaluation import request_metrics
  from behavior_lm.recipes.shared.request_data import make_data
  from experiments.studies.ranking import ranking_study as study
  from experiments.studies.ranking.taobao import make_tables

  if _LIST.value:
    for number, variant in enumerate(study.VARIANTS):
      print(f"{number:3} {variant.name}")
    return
  path, own, changes = _DATA.value, dict[str, Any](), dict[str, Any]()
  if _TAOBAO.value:
    tables, log = make_tables(_TAOBAO.value, Path(_WORK.value))
    path, own = str(tables), {"data.actions": str(log)}
  for text in _SET.value:
    key, separator, value = text.partition("=")
    if not separator:
      raise UserError(f"--set {text}: write KEY=VALUE.")
    changes[key] = _value(value)
  chosen = [int(number) for number in _VARIANTS.value]
  if any(not 0 <= n < len(study.VARIANTS) for n in chosen):
    raise UserError(
        f"--variants {','.join(_VARIANTS.value)}: rows are 0 to"
        f" {len(study.VARIANTS) - 1}."
    )
  # The rows are the same for all variants; the second one has actions.
  data = make_data(
      study.variant_config(
          table, path, study.VARIANTS[1], 0, own | changes
      )
  )
  found = []
  for number in chosen or range(len(study.VARIANTS)):
    variant = study.VARIANTS[number]
    draws, about = [], []
    for seed in range(_SEEDS.value):
      config = study.variant_config(
          table, path, variant, seed, own | changes
      )
      folder = Path(_WORK.value) / f"{number}_{variant.history}_{seed}"
      scores, one = study.run_variant(config, folder)
      draws.append(study.measured(data.sides["test"], scores))
      about.append(one)
      auc, uauc = (float(draws[-1][name][0]) for name in ("auc", "uauc"))
      print(f"{variant.name}, seed {seed}: AUC {auc:.4f} UAUC {uauc:.4f}")
    found.append((variant.name, draws, about))
  plain = study.plain_rows(data)
  name = "logistic regression of ids"
  reference = plain[name]
  rows = [study.row_of(n, [one], reference, []) for n, one in plain.items()]
  rows += [study.row_of(n, d, reference, about) for n, d, about in found]
  test = data.sides["test"]
  aucs = request_metrics.auc_of_groups(
      test.labels[:, 0],
      np.zeros(len(test)),
      request_metrics.group_numbers(test.users),
  )
  result = {
      "command": this_command(),
      "data": table if _TAOBAO.value else Path(path).name,
      "changes": changes,
      "reference": name,
      "test_rows": len(test),
      "test_users": len(np.unique(test.users)),
      "uauc_users": int(np.isfinite(aucs).sum()),
      "published": study.PUBLISHED if table == "ml1m_ctr" else {},
      "rows": rows,
  }
  text = study.page(result)
  print(text)
  write_result(out, result, text)


if __name__ == "__main__":
  keep_freed_memory()
  run_command(main)

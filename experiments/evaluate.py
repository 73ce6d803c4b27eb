"""Masked perplexity of runs beside count models, on the same events.

  python experiments/evaluate.py --runs runs/none,runs/gate --data DATA

Writes evaluation.json and evaluation.md into each run folder, and the table
of all of them to --out.
"""

from pathlib import Path

from absl import flags

from behavior_lm.common.errors import run_command
from behavior_lm.common.errors import UserError
from behavior_lm.common.host_memory import keep_freed_memory

_RUNS = flags.DEFINE_list("runs", [], "Run folders of pretrain.py, by comma.")
_DATA = flags.DEFINE_string(
    "data", None, "A dataset folder of experiments/prepare.py."
)
_SPLIT = flags.DEFINE_string("split", "test", "The split that is scored.")
_OUT = flags.DEFINE_string(
    "out", "", "Also write the table of all runs to OUT.json and OUT.md."
)


def main(argv: list[str]) -> None:
  """Scores runs and baselines."""
  del argv
  from behavior_lm.artifacts.commands import this_command
  from behavior_lm.artifacts.run_folder import config_hash
  from behavior_lm.artifacts.run_folder import load_config
  from behavior_lm.baselines.count_baselines import score_baselines
  from behavior_lm.data.tokenizers import load_tokenizer
  from behavior_lm.evaluation import table
  from behavior_lm.evaluation.score_run import score_run
  from behavior_lm.logs.dataset import open_dataset
  from behavior_lm.recipes.pretrain import data_name

  if not _RUNS.value or not _DATA.value:
    raise UserError("--runs and --data are both needed; see --help.")
  dataset = open_dataset(_DATA.value)
  masks = set()
  for run in _RUNS.value:
    config = load_config(run)
    tokenizer = load_tokenizer(Path(run) / "tokenizer")
    masks.add(
        (config.eval.mask_rate, config.eval.mask_seed, tokenizer.fingerprint)
    )
  if len(masks) > 1:
    raise UserError(
        "these runs differ in eval.mask_rate, eval.mask_seed or the tokenizer;"
        " evaluate them apart."
    )
  models, seeds, hashes = {}, {}, {}
  for run in _RUNS.value:
    print(f"scoring {run}", flush=True)
    scores, config = score_run(run, dataset, _SPLIT.value)
    name = f"{config.model.name} ({config.model.time_encoding})"
    if name in models:
      name = f"{name} {Path(run).name}"
    models[name], seeds[name] = scores, config.seed
    hashes[name] = config_hash(config)
  print("counting the baselines", flush=True)
  baselines = score_baselines(
      dataset,
      tokenizer,
      split=_SPLIT.value,
      mask_rate=config.eval.mask_rate,
      mask_seed=config.eval.mask_seed,
  )
  count = next(iter(models.values())).count
  result = {
      "data": data_name(_DATA.value),
      "data_fingerprint": dataset.meta["fingerprint"],
      "split": _SPLIT.value,
      "mask_rate": config.eval.mask_rate,
      "mask_seed": config.eval.mask_seed,
      "num_masked": int(count.sum()),
      "num_events": dataset.meta["splits"][_SPLIT.value]["num_events"],
      "num_users": dataset.meta["splits"][_SPLIT.value]["num_users"],
      "vocab_size": tokenizer.vocab_size,
      "config_hash": hashes,
      "command": this_command(),
  }
  rows = table.make_rows(models, seeds, baselines)
  paths = []
  for run, name in zip(_RUNS.value, models, strict=True):
    own = [row for row in rows if row["model"] not in models]
    own = [row for row in rows if row["model"] == name] + own
    one = result | {"rows": own, "config_hash": hashes[name]}
    paths += table.write(one, Path(run), "evaluation")
  if _OUT.value:
    out = Path(_OUT.value)
    paths += table.write(result | {"rows": rows}, out.parent, out.name)
  table.show(result | {"rows": rows})
  print("table: " + ", ".join(str(p) for p in paths if p.suffix == ".md"))


if __name__ == "__main__":
  keep_freed_memory()
  run_command(main)

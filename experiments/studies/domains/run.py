r"""Compares what serves several domains: language models, experts, towers.

  python experiments/export.py --huggingface FOLDER --workdir runs/minilm
  python experiments/studies/domains/run.py --data DATA --language runs/minilm \
      --work runs/domains --out experiments/results/domains_amazon

DATA is a folder with All_Beauty_5.json.gz, AMAZON_FASHION_5.json and
Musical_Instruments_5.json.gz. Runs that are finished in --work are not
repeated; the table is written after each of them, so that a command that was
stopped leaves what it has. Without --language there are the models without one.
"""

from pathlib import Path

from absl import flags

from behavior_lm.common.errors import run_command
from behavior_lm.common.errors import UserError
from behavior_lm.common.host_memory import keep_freed_memory
from experiments.studies import results

_DATA = flags.DEFINE_string("data", "", "The folder of reviews.")
_LANGUAGE = flags.DEFINE_string("language", "", "An imported language model.")
_WORK = flags.DEFINE_string("work", "runs/domains", "Folder of the runs.")
_OUT = flags.DEFINE_string(
    "out", "experiments/results/domains_amazon", "The files, without ending."
)
_SEEDS = flags.DEFINE_integer("seeds", 1, "Runs of each kind of towers.")
_STEPS = flags.DEFINE_integer("steps", 120, "Of towers.")
_ADAPT_STEPS = flags.DEFINE_integer("adapt_steps", 40, "Of an adaptation.")
_DTYPE = flags.DEFINE_string("dtype", "bfloat16", "Of the language model.")

_PARTS = flags.DEFINE_list(
    "parts", [], "Of domain_study.PARTS; all if not given."
)

SOURCES = {
    "beauty": "All_Beauty_5.json.gz",
    "fashion": "AMAZON_FASHION_5.json",
    "music": "Musical_Instruments_5.json.gz",
}


def main(argv: list[str]) -> None:
  del argv
  out = results.checked_out(_OUT.value)
  if not _DATA.value:
    raise UserError("no --data: name the folder of reviews.")
  sources = {name: str(Path(_DATA.value) / f) for name, f in SOURCES.items()}
  # Late imports: --help and usage errors come at once.
  from experiments.studies.domains import domain_study
  from experiments.studies.domains import domain_tables

  if unknown := set(_PARTS.value) - set(domain_study.PARTS):
    raise UserError(
        f"--parts {', '.join(sorted(unknown))}: known are"
        f" {', '.join(domain_study.PARTS)}."
    )
  study = domain_study.Study(
      sources=sources,
      language=_LANGUAGE.value,
      work=Path(_WORK.value),
      seeds=_SEEDS.value,
      steps=_STEPS.value,
      adapt_steps=_ADAPT_STEPS.value,
      dtype=_DTYPE.value,
      parts=tuple(_PARTS.value) or domain_study.PARTS,
  )
  for result in study.run():
    results.write_result(out, result, domain_tables.to_markdown(result))


if __name__ == "__main__":
  keep_freed_memory()
  run_command(main)

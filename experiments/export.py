r"""Writes a trained model as a Hugging Face folder, and brings one back.

  python experiments/export.py --workdir RUN --out FOLDER
  python experiments/export.py --huggingface FOLDER --workdir NEW_RUN

The first makes what transformers loads (BERT, ALBERT, Longformer without a
time encoding), with the tokenizer beside it in FOLDER/behavior_lm. The second
makes a run folder of such a folder, trained on elsewhere or not: for embed.py
and evaluate.py, or to start a run with --config.init_from. See docs/interop.md.
"""

from pathlib import Path

from absl import flags

from behavior_lm.common.errors import run_command
from behavior_lm.common.errors import UserError

_WORKDIR = flags.DEFINE_string(
    "workdir", None, "The run folder; read, or with --huggingface made."
)
_OUT = flags.DEFINE_string("out", None, "The Hugging Face folder to make.")
_HUGGINGFACE = flags.DEFINE_string(
    "huggingface", None, "An exported folder to make a run folder of."
)
_STEP = flags.DEFINE_string("step", "latest", "The checkpoint: a step, latest.")


def main(argv: list[str]) -> None:
  del argv
  workdir, out, source = _WORKDIR.value, _OUT.value, _HUGGINGFACE.value
  if not workdir:
    raise UserError("--workdir is missing; see --help.")
  if (out and source) or not (out or source):
    raise UserError(
        "give either --out, to export --workdir, or --huggingface, to make"
        " --workdir of it."
    )
  step = None
  if _STEP.value != "latest":
    if not _STEP.value.isdecimal() or source:
      raise UserError(
          f"--step {_STEP.value!r}: a step of --workdir to export, or latest."
      )
    step = int(_STEP.value)
  # Late imports: --help and usage errors come at once.
  from behavior_lm.interop import runs

  if source:
    found = runs.import_run(source, workdir)
    for text in found.unused:
      print(f"not used: {text}")
    print(f"run folder: {Path(workdir)}")
  elif out:
    step = runs.export_run(workdir, out, step)
    print(f"step {step:,} of {Path(workdir)}")
    print(f"Hugging Face folder: {Path(out)}")
    print(f"its tokenizer and token names: {Path(out) / runs.OWN}")


if __name__ == "__main__":
  run_command(main)

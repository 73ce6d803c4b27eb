r"""Draws what each attention sees in a packed row, from the code's own masks.

  python experiments/studies/attention/run.py

Writes experiments/results/attention.png: two segments and some padding in a
row of 60 tokens; queries down, keys across.
"""

from absl import flags
import numpy as np

from behavior_lm.common.errors import run_command
from behavior_lm.common.files import write_whole
from experiments.studies.results import checked_out

_SEED = flags.DEFINE_integer("seed", 0, "Of the events that LSH hashes.")
_OUT = flags.DEFINE_string(
    "out", "experiments/results/attention.png", "The picture."
)


def main(argv: list[str]) -> None:
  """Draws all kinds of attention."""
  del argv
  out = checked_out(_OUT.value)
  from experiments.studies.attention.attention_examples import example_row
  from experiments.studies.attention.attention_examples import examples
  from experiments.studies.attention.figure import draw_attention

  panels = [(found.title, found.parts) for found in examples(_SEED.value)]
  write_whole(out, draw_attention(panels, np.asarray(example_row()[0])))
  print(f"written: {out}")


if __name__ == "__main__":
  run_command(main)

r"""Builds a tokenizer from the training split of a dataset.

  python experiments/fit_tokenizer.py --data DATA --vocab_size 7000 \
      --out DATA_TOKENIZER

pretrain.py does the same by itself; use this to look at a vocabulary, or to
give several runs the same one (--config.tokenizer.path).
"""

from pathlib import Path

from absl import flags

from behavior_lm.errors import run_command
from behavior_lm.errors import UserError

_DATA = flags.DEFINE_string(
    "data", None, "A dataset folder of experiments/prepare.py."
)
_OUT = flags.DEFINE_string("out", None, "The tokenizer folder to write.")
_KIND = flags.DEFINE_string("kind", "pair", "Which tokenizer.")
_VOCAB_SIZE = flags.DEFINE_integer(
    "vocab_size", 7_000, "Ids in all, special ones included."
)


def main(argv: list[str]) -> None:
  """Builds, saves, and says what the vocabulary covers."""
  del argv
  from behavior_lm.data.dataset import open_dataset
  from behavior_lm.data.tokenizers import TOKENIZERS

  if not _DATA.value or not _OUT.value:
    raise UserError("--data and --out are both needed; see --help.")
  if _KIND.value not in TOKENIZERS:
    raise UserError(
        f"--kind {_KIND.value!r}; known are {sorted(TOKENIZERS)}."
    )
  if Path(_OUT.value).is_file():
    raise UserError(f"--out {_OUT.value} is a file; give a folder.")
  pairs = open_dataset(_DATA.value).pairs
  tokenizer = TOKENIZERS[_KIND.value].train(pairs, _VOCAB_SIZE.value)
  tokenizer.save(_OUT.value)
  coverage = tokenizer.coverage(pairs)
  print(
      f"{tokenizer.vocab_size:,} tokens: {len(tokenizer.pairs):,} of"
      f" {len(pairs):,} pairs, {len(tokenizer.events):,} events"
  )
  print(
      f"training events: {coverage['exact']:.2%} exact,"
      f" {coverage['event_alone']:.2%} by their event alone,"
      f" {coverage['unknown']:.2%} unknown"
  )
  print(f"tokenizer: {_OUT.value}")


if __name__ == "__main__":
  run_command(main)

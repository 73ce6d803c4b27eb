r"""Builds a tokenizer from the training split of a dataset.

  python experiments/fit_tokenizer.py --data DATA --vocab_size 7000 \
      --out DATA_TOKENIZER
  python experiments/fit_tokenizer.py --data DATA --kind bpe \
      --vocab_size 50000 --sessions 1800 --out DATA_BPE

train.py does the same by itself; use this to look at a vocabulary, or to
give several runs the same one (--config.tokenizer.path).
"""

from pathlib import Path

from absl import flags

from behavior_lm.common.errors import run_command
from behavior_lm.common.errors import UserError
from behavior_lm.common.lock import held

_DATA = flags.DEFINE_string(
    "data", None, "A dataset folder of experiments/prepare.py."
)
_OUT = flags.DEFINE_string("out", None, "The tokenizer folder to write.")
_KIND = flags.DEFINE_string("kind", "pair", "Which tokenizer: pair or bpe.")
_VOCAB_SIZE = flags.DEFINE_integer(
    "vocab_size", 7_000, "Ids in all, special ones included."
)

_ALPHABET_SIZE = flags.DEFINE_integer(
    "alphabet_size",
    7_000,
    "bpe: the most frequent (event, design) pairs that get a character; others"
    " fall back to their event alone, or to UNK.",
)
_MAX_PIECE_EVENTS = flags.DEFINE_integer(
    "max_piece_events", 64, "bpe: events of the longest token."
)
_SEGMENTATION = flags.DEFINE_string(
    "segmentation",
    "merges",
    "bpe: merges, in their order; or fewest, as few tokens as possible.",
)
_SESSIONS = flags.DEFINE_string(
    "sessions",
    "none",
    "No token crosses a session boundary: none, seconds such as 1800, a"
    " quantile of the sequence's gaps such as q0.98, or learned.",
)
_SEP_TOKENS = flags.DEFINE_bool(
    "sep_tokens", False, "Close each session with a SEP token."
)
_COLLAPSE_REPEATS = flags.DEFINE_bool(
    "collapse_repeats", False, "Read a run of equal events as one."
)
_SEED = flags.DEFINE_integer(
    "seed", 0, "Of the sample that bpe learns from in a large log."
)


def main(argv: list[str]) -> None:
  """Builds, saves, and says what the vocabulary covers."""
  del argv
  from behavior_lm.data.tokenizers.coverage import coverage_line
  from behavior_lm.data.tokenizers.training import train_tokenizer
  from behavior_lm.logs.dataset import open_dataset

  if not _DATA.value or not _OUT.value:
    raise UserError("--data and --out are both needed; see --help.")
  if Path(_OUT.value).is_file():
    raise UserError(f"--out {_OUT.value} is a file; give a folder.")
  with held(Path(_OUT.value), f"--out {_OUT.value}"):
    dataset = open_dataset(_DATA.value)
    tokenizer = train_tokenizer(
        dataset,
        _KIND.value,
        vocab_size=_VOCAB_SIZE.value,
        alphabet_size=_ALPHABET_SIZE.value,
        max_piece_events=_MAX_PIECE_EVENTS.value,
        segmentation=_SEGMENTATION.value,
        sessions=_SESSIONS.value,
        sep_tokens=_SEP_TOKENS.value,
        collapse_repeats=_COLLAPSE_REPEATS.value,
        seed=_SEED.value,
    )
    tokenizer.save(_OUT.value)
  pairs, alphabet = dataset.pairs, tokenizer.alphabet
  print(
      f"{tokenizer.vocab_size:,} tokens over {len(alphabet):,} units:"
      f" {len(alphabet.pairs):,} of {len(pairs):,} pairs,"
      f" {len(alphabet.events):,} events alone; sessions:"
      f" {tokenizer.settings.sessions.to_json()}"
  )
  print(coverage_line(tokenizer, pairs))
  print(f"tokenizer: {_OUT.value}")


if __name__ == "__main__":
  run_command(main)

"""What a vocabulary can tell of the training events, for people."""

import polars as pl

from behavior_lm.data.tokenizers.base import Tokenizer

# Below this share of exact events a model learns little but bare events.
ENOUGH = 0.8


def coverage_line(tokenizer: Tokenizer, pairs: pl.DataFrame) -> str:
  """How many training events a vocabulary names exactly, in one sentence.

  Args:
    tokenizer: any.
    pairs: of the dataset, with train_count.

  Returns:
    One sentence; with a warning and its remedies if few events are exact.
  """
  found = tokenizer.coverage(pairs)
  line = (
      f"training events: {found['exact']:.2%} exact,"
      f" {found['event_alone']:.2%} by their event alone,"
      f" {found['unknown']:.2%} unknown"
  )
  if found["exact"] >= ENOUGH:
    return line
  return (
      f"{line}. Warning: most targets that are not exact say only which event"
      " it was. A larger --config.tokenizer.vocab_size, a coarser design"
      " (prepare.py --columns design_id=CATEGORY), tokens=bpe, or extra columns"
      " as fields tell the model more"
  )

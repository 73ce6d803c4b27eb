"""Which events an evaluation hides, and what a token cannot say of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from behavior_lm.data.fixed_mask import fixed_mask
from behavior_lm.data.tokenizers import Tokenizer
from behavior_lm.data.tokenizers.base import Tokens
from behavior_lm.logs.dataset import Dataset

# Bits to spell one byte of an id that a token left out.
BITS_PER_HIDDEN_BYTE = 8.0


class SpelledBits:
  """Whose token is where, and what it leaves out, beside each token.

  Args:
    dataset, tokenizer: what is read, and how.
  """

  def __init__(self, dataset: Dataset, tokenizer: Tokenizer) -> None:
    self.tokenizer = tokenizer
    self.unit_of_pair = tokenizer.unit_table(dataset.pairs)
    self.hidden_bits = (
        tokenizer.hidden_bytes(dataset.pairs) * BITS_PER_HIDDEN_BYTE
    )

  def __call__(
      self, index: int, example: Mapping[str, Any], tokens: Tokens
  ) -> dict[str, np.ndarray]:
    """`sequence`, `token_index` and `hidden_bits` of each token."""
    pairs = np.asarray(example["pair"])
    hidden = self.hidden_bits[pairs] + self.tokenizer.repeat_bits(
        self.unit_of_pair[pairs], np.asarray(example["timestamp"])
    )
    return {
        "sequence": np.full(len(tokens), index, np.int32),
        "token_index": np.arange(len(tokens), dtype=np.int32),
        "hidden_bits": sum_events(hidden, tokens),
    }


class MaskedTokens:
  """The fixed mask, beside what `SpelledBits` says.

  Args:
    dataset, tokenizer: what is read, and how.
    mask_rate, mask_seed: of the fixed mask.
    spans_of: hide the events that THIS tokenizer's masked tokens span, instead
      of each event alone: so models over single events and over chains are
      asked for the very same events. Needs a `tokenizer` of one token an
      event, or a token could be hidden in part.

  Raises:
    ValueError: for `spans_of` with a tokenizer of several events a token.
  """

  def __init__(
      self,
      dataset: Dataset,
      tokenizer: Tokenizer,
      mask_rate: float,
      mask_seed: int,
      spans_of: Tokenizer | None = None,
  ) -> None:
    if spans_of is not None and not tokenizer.one_token_an_event:
      raise ValueError(
          "the spans of another tokenizer can be hidden from one token an event"
          f" alone; this {tokenizer.kind} tokenizer has longer tokens"
      )
    self.spans_of = spans_of
    if spans_of is not None:
      self.span_of_pair = spans_of.unit_table(dataset.pairs)
    self.spelled = SpelledBits(dataset, tokenizer)
    self.mask_rate = mask_rate
    self.mask_seed = mask_seed

  def __call__(
      self, index: int, example: Mapping[str, Any], tokens: Tokens
  ) -> dict[str, np.ndarray]:
    """A token is masked if its first event is: that many, whatever it spans."""
    pairs = np.asarray(example["pair"])
    first, spans = tokens.first_events, tokens.num_events > 0
    mask = fixed_mask(
        example["user_id"],
        example["start"],
        len(pairs),
        mask_rate=self.mask_rate,
        seed=self.mask_seed,
    )
    if self.spans_of is not None:
      chains = self.spans_of.tokenise(
          self.span_of_pair[pairs], np.asarray(example["timestamp"])
      )
      mask = np.repeat(mask[chains.first_events], chains.num_events)
    masked = (mask[first] & spans).astype(np.int32)
    return self.spelled(index, example, tokens) | {"masked": masked}


def sum_events(values: np.ndarray, tokens: Tokens) -> np.ndarray:
  """[num_events] -> [num_tokens] float32 sums over each token's events."""
  before = np.concatenate([[0.0], np.cumsum(values)])
  ends = np.cumsum(tokens.num_events)
  return (before[ends] - before[ends - tokens.num_events]).astype(np.float32)

"""What a tokenizer makes of a log: coverage, compression, speed, pieces."""

from collections.abc import Callable, Mapping, Sequence
import time
from typing import Any

import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.data.tokenizers import Tokenizer
from behavior_lm.data.tokenizers.training import train_tokenizer
from behavior_lm.logs.dataset import Dataset

Example = Mapping[str, Any]
_REPEATS = 3
_RANKS = 200
_SHOWN = 10

# The field's two recipes, then one change at a time from BPE 50,000, then what
# compresses most.
STUDY = (
    "pair,vocab_size=7000",
    "pair,vocab_size=16000",
    "bpe,vocab_size=8000,alphabet_size=4000,sessions=1800",
    "bpe,vocab_size=20000,sessions=1800",
    "bpe,vocab_size=50000,sessions=1800",
    "bpe,vocab_size=100000,sessions=1800",
    "bpe,vocab_size=50000,sessions=none",
    "bpe,vocab_size=50000,sessions=300",
    "bpe,vocab_size=50000,sessions=learned",
    "bpe,vocab_size=50000,sessions=1800,max_piece_events=16",
    "bpe,vocab_size=50000,sessions=1800,max_piece_events=256",
    "bpe,vocab_size=50000,sessions=1800,alphabet_size=15000",
    "bpe,vocab_size=50000,sessions=1800,alphabet_size=2000",
    "bpe,vocab_size=50000,sessions=1800,collapse_repeats=true",
    "bpe,vocab_size=50000,sessions=1800,segmentation=fewest",
    "bpe,vocab_size=50000,sessions=1800,alphabet_size=3000,"
    "collapse_repeats=true,segmentation=fewest",
    "bpe,vocab_size=50000,sessions=1800,alphabet_size=2000,"
    "collapse_repeats=true,segmentation=fewest",
)
_NUMBERS = (
    "vocab_size",
    "alphabet_size",
    "max_piece_events",
    "max_train_events",
    "seed",
)
_FLAGS = ("sep_tokens", "collapse_repeats")
_TEXTS = ("segmentation", "sessions")


def read_settings(text: str) -> dict[str, Any]:
  """`kind,name=value,...` -> arguments of `train_tokenizer`.

  Raises:
    UserError: if a name is unknown or a number is none.
  """
  kind, *parts = text.split(",")
  out: dict[str, Any] = {"kind": kind}
  for part in parts:
    name, _, value = part.partition("=")
    if name in _NUMBERS and value.isdecimal():
      out[name] = int(value)
    elif name in _FLAGS and value.lower() in ("true", "false"):
      out[name] = value.lower() == "true"
    elif name in _TEXTS and value:
      out[name] = value
    else:
      raise UserError(
          f"tokenizer setting {part!r} in {text!r}: give"
          f" {', '.join(_NUMBERS)} as numbers, {', '.join(_FLAGS)} as true or"
          f" false, {', '.join(_TEXTS)} as texts."
      )
  if "vocab_size" not in out:
    raise UserError(f"tokenizer settings {text!r} have no vocab_size.")
  return out


def study(
    dataset: Dataset,
    settings: Sequence[str],
    split: str,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
  """Trains each tokenizer on the training split and measures it on another.

  Args:
    dataset: prepared logs.
    settings: see `read_settings`.
    split: where it is measured.
    say: told of each row.

  Returns:
    One row a tokenizer, for tables and figures; all values are JSON's.
  """
  wanted = [read_settings(text) for text in settings]
  source = dataset.source(split)
  examples = [source[i] for i in range(len(source))]
  rows = []
  for text, arguments in zip(settings, wanted, strict=True):
    started = time.monotonic()
    tokenizer = train_tokenizer(dataset, **arguments)
    seconds = time.monotonic() - started
    row = {"settings": text, "train_seconds": seconds}
    row |= measure(tokenizer, dataset.pairs, examples)
    rows.append(row)
    say(
        f"{text}: {row['compression']:.2f} events a token,"
        f" {row['mean_tokens']:,.0f} tokens a sequence"
    )
  return rows


def measure(
    tokenizer: Tokenizer, pairs: pl.DataFrame, examples: Sequence[Example]
) -> dict[str, Any]:
  """One row of the study; see the names in it.

  Args:
    tokenizer: any.
    pairs: of the dataset.
    examples: sequences, as `Dataset.source` gives them.
  """
  table = tokenizer.unit_table(pairs)
  speeds = []
  for _ in range(_REPEATS):
    started = time.perf_counter()
    encoded = [
        tokenizer.tokenise(table[example["pair"]], example["timestamp"])
        for example in examples
    ]
    speeds.append(time.perf_counter() - started)
  sizes = np.asarray([len(tokens) for tokens in encoded])
  ids = np.concatenate([tokens.ids for tokens in encoded])
  spans = np.concatenate([tokens.num_events for tokens in encoded])
  counts = np.bincount(ids, minlength=tokenizer.vocab_size)
  codes = np.concatenate([example["pair"] for example in examples])
  seen = pairs.with_columns(
      pl.Series("count", np.bincount(codes, minlength=len(pairs)))
  )
  probability = counts[counts > 0] / counts.sum()
  entropy = float(-(probability * np.log2(probability)).sum())
  return {
      "vocab_size": tokenizer.vocab_size,
      "coverage": tokenizer.coverage(seen, "count"),
      "compression": len(codes) / len(ids),
      "mean_tokens": float(sizes.mean()),
      "p95_tokens": float(np.quantile(sizes, 0.95)),
      "mean_events": len(codes) / len(examples),
      "longest_token_events": int(spans.max(initial=0)),
      "used_tokens": int((counts > 0).sum()),
      "unigram_bits_per_event": entropy * len(ids) / len(codes),
      "encode_events_per_second": len(codes) / float(np.median(speeds)),
      "fingerprint": tokenizer.fingerprint,
      "frequencies": _ranked(counts),
      "pieces": _pieces(tokenizer, counts),
  }


def check_round_trip(tokenizer: Tokenizer, dataset: Dataset) -> int:
  """Encodes and decodes every sequence of every split.

  Returns:
    Events that came back.

  Raises:
    RuntimeError: if one did not; names the sequence.
  """
  events = dataset.pairs["event_id"].to_numpy()
  designs = dataset.pairs["design_id"].to_numpy()
  total = 0
  for split in dataset.splits:
    source = dataset.source(split)
    for index in range(len(source)):
      example = source[index]
      pair = example["pair"]
      mine = events[pair].tolist(), designs[pair].tolist()
      encoding = tokenizer.encode(*mine, example["timestamp"])
      if tokenizer.decode(encoding) != list(zip(*mine, strict=True)):
        raise RuntimeError(f"{split} {index} did not come back as it was")
      total += len(pair)
  return total


def _ranked(counts: np.ndarray) -> list[list[int]]:
  """[rank, count] pairs of the token frequencies, evenly spaced in logs."""
  ordered = np.sort(counts[counts > 0])[::-1]
  ranks = np.unique(np.geomspace(1, len(ordered), _RANKS).astype(np.int64))
  return [[int(rank), int(ordered[rank - 1])] for rank in ranks]


def _pieces(tokenizer: Tokenizer, counts: np.ndarray) -> dict[str, Any]:
  """The longest and the most frequent tokens of several events, readable."""
  names = tokenizer.tokens
  sizes = np.asarray(
      [len(tokenizer.token_units(token)) for token in range(len(names))]
  )
  chains = np.flatnonzero((sizes > 1) & (counts > 0))
  by_count = chains[np.argsort(-counts[chains], kind="stable")]
  by_size = chains[np.lexsort((-counts[chains], -sizes[chains]))]
  describe = lambda token: {
      "events": int(sizes[token]),
      "count": int(counts[token]),
      "name": names[token],
  }
  return {
      "most_frequent": [describe(token) for token in by_count[:_SHOWN]],
      "longest": [describe(token) for token in by_size[:_SHOWN]],
      "num_chains": int((sizes > 1).sum()),
  }

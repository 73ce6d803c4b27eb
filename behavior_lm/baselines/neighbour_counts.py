"""Counts of events given every subset of their four nearest neighbours."""

from collections.abc import Iterable, Sequence
import dataclasses

import numpy as np

from behavior_lm.baselines import count_models
from behavior_lm.baselines.count_models import UNSEEN
from behavior_lm.baselines.gap_ngrams import gap_buckets
from behavior_lm.baselines.gap_ngrams import NUM_BUCKETS
from behavior_lm.baselines.neighbour_contexts import Codes
from behavior_lm.baselines.neighbour_contexts import Contexts
from behavior_lm.baselines.neighbour_contexts import GAP
from behavior_lm.baselines.neighbour_contexts import OFFSETS
from behavior_lm.baselines.neighbour_contexts import PLAIN


@dataclasses.dataclass(frozen=True)
class Places:
  """Masked events and their surroundings.

  Attributes:
    tokens: [m] int64, the true tokens.
    symbols: offset -> [m] int64, neighbour or the boundary symbol; GAP -> the
      bucket of the gap, where it is known.
    hidden: offset or GAP -> [m] bool, True where it must not be used.
  """

  tokens: np.ndarray
  symbols: dict[int, np.ndarray]
  hidden: dict[int, np.ndarray]

  def __len__(self) -> int:
    return self.tokens.size

  @property
  def patterns(self) -> np.ndarray:
    """[m] int64 in [0, 16): which neighbours are hidden, as bits."""
    bits = [self.hidden[offset] << i for i, offset in enumerate(OFFSETS)]
    return np.asarray(np.sum(bits, axis=0, dtype=np.int64))

  def take(self, rows: np.ndarray | slice) -> "Places":
    """The places of these rows."""
    return Places(
        self.tokens[rows],
        {place: symbols[rows] for place, symbols in self.symbols.items()},
        {place: hidden[rows] for place, hidden in self.hidden.items()},
    )

  def join(self, other: "Places") -> "Places":
    """These places, then the other ones."""
    merge = np.concatenate
    return Places(
        merge([self.tokens, other.tokens]),
        {o: merge([x, other.symbols[o]]) for o, x in self.symbols.items()},
        {o: merge([x, other.hidden[o]]) for o, x in self.hidden.items()},
    )


def find_places(
    sequences: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    *,
    hide: bool,
    vocab_size: int,
    gaps: Sequence[np.ndarray] | None = None,
    gap_side: int = 0,
) -> Places:
  """Collects the masked events of the sequences, in order.

  Args:
    sequences: int arrays with values in [0, vocab_size).
    masks: a bool array for each sequence, of its length.
    hide: whether neighbours that are masked themselves are hidden. The places
      beyond the ends are known to be empty and never hidden.
    vocab_size: also the boundary symbol.
    gaps: [n] of each sequence, in 100 ms, below 0 where unknown; read with a
      gap_side: the neighbour on that side tells the time to the masked event,
      and not where it is masked itself.
    gap_side: see `Contexts`.

  Raises:
    ValueError: when a mask or gaps do not fit their sequence.
  """
  if len(sequences) != len(masks):
    raise ValueError(f"{len(sequences)} sequences but {len(masks)} masks")
  tokens, lengths = count_models.concatenate(sequences, vocab_size)
  for i, (mask, length) in enumerate(zip(masks, lengths, strict=True)):
    if np.asarray(mask).dtype != bool or np.shape(mask) != (length,):
      raise ValueError(
          f"the mask of sequence {i} must be {length} booleans, not"
          f" {np.asarray(mask).dtype} of shape {np.shape(mask)}"
      )
  masked = np.concatenate([np.zeros(0, bool), *masks])
  chosen = np.flatnonzero(masked)
  symbols, hidden = {}, {}
  for offset in OFFSETS:
    around = count_models.neighbours(tokens, lengths, offset, vocab_size)
    symbols[offset] = around[chosen]
    if hide:
      off = count_models.neighbours(masked.astype(np.int64), lengths, offset, 0)
      hidden[offset] = off[chosen].astype(bool)
    else:
      hidden[offset] = np.zeros(chosen.size, bool)
  if gap_side:
    shown = [np.zeros(0, np.int64), *(gaps or [])]
    buckets = gap_buckets(np.concatenate(shown))
    if buckets.size != tokens.size:
      raise ValueError(f"{tokens.size} tokens but {buckets.size} gaps")
    around = count_models.neighbours(buckets, lengths, gap_side, 0)
    symbols[GAP], hidden[GAP] = around[chosen], hidden[gap_side]
  return Places(tokens[chosen], symbols, hidden)


@dataclasses.dataclass(frozen=True)
class SubsetCounts:
  """What stood in the contexts of one subset; C contexts, P pairs.

  Attributes:
    context_keys: [C] int64 sorted, `parent code * num_symbols + symbol`.
    types: [C] float32, distinct tokens in each context.
    pair_keys: [P] int64 sorted, `context code * vocab_size + token`.
    row_starts: [C + 1] int64, the pairs of each context.
    totals, pair_counts: [C], [P] float32, token counts; then
    continuation_totals, continuation_counts: [C], [P] float32.
  """

  context_keys: np.ndarray
  types: np.ndarray
  pair_keys: np.ndarray
  row_starts: np.ndarray
  totals: np.ndarray
  pair_counts: np.ndarray
  continuation_totals: np.ndarray
  continuation_counts: np.ndarray

  def of_kind(self, continuation: bool) -> tuple[np.ndarray, np.ndarray]:
    """Totals [C] and counts of pairs [P] of tokens or of continuations."""
    if continuation:
      return self.continuation_totals, self.continuation_counts
    return self.totals, self.pair_counts


def _count_subset(
    codes: np.ndarray,
    tokens: np.ndarray,
    context_keys: np.ndarray,
    first: np.ndarray,
    vocab_size: int,
) -> SubsetCounts:
  num_contexts = context_keys.size
  pair_keys, pair_counts = np.unique(
      codes * vocab_size + tokens, return_counts=True
  )
  pairs_of_first = np.searchsorted(
      pair_keys, codes[first] * vocab_size + tokens[first]
  )
  pair_contexts = pair_keys // vocab_size
  rows = np.arange(num_contexts + 1)
  return SubsetCounts(
      context_keys=context_keys,
      types=np.bincount(pair_contexts, minlength=num_contexts).astype("f4"),
      pair_keys=pair_keys,
      row_starts=np.searchsorted(pair_contexts, rows),
      totals=np.bincount(codes, minlength=num_contexts).astype("f4"),
      pair_counts=pair_counts.astype("f4"),
      continuation_totals=np.bincount(
          codes[first], minlength=num_contexts
      ).astype("f4"),
      continuation_counts=np.bincount(
          pairs_of_first, minlength=pair_keys.size
      ).astype("f4"),
  )


class NeighbourCounts:
  """The tables of all subsets, counted on training sequences."""

  def __init__(
      self,
      sequences: Sequence[np.ndarray],
      vocab_size: int,
      contexts: Contexts = PLAIN,
      gaps: Sequence[np.ndarray] | None = None,
  ):
    """Counts every event of int sequences with values in [0, vocab_size)."""
    everything = [np.ones(np.shape(sequence), bool) for sequence in sequences]
    places = find_places(
        sequences,
        everything,
        hide=False,
        vocab_size=vocab_size,
        gaps=gaps,
        gap_side=contexts.gap_side,
    )
    if not len(places):
      raise ValueError("cannot count the neighbours of no events")
    self.vocab_size = vocab_size
    self.contexts = contexts
    self._num_symbols = max(vocab_size + 1, NUM_BUCKETS)
    keys: Codes = {(): np.zeros(1, np.int64)}
    codes: Codes = {(): np.zeros(len(places), np.int64)}
    for subset in contexts.subsets[1:]:
      keys[subset], codes[subset] = np.unique(
          self._child_keys(codes[subset[:-1]], places, subset),
          return_inverse=True,
      )
    # One event for each distinct (full context, token).
    _, first = np.unique(
        codes[OFFSETS] * vocab_size + places.tokens, return_index=True
    )
    self.tables = {}
    for subset in contexts.subsets:
      self.tables[subset] = _count_subset(
          codes.pop(subset), places.tokens, keys.pop(subset), first, vocab_size
      )
    self._peaks = {}
    for i, (subset, continuation) in enumerate(contexts.experts):
      if i not in contexts.narrow:
        table = self.tables[subset]
        totals, counts = table.of_kind(continuation)
        highest = np.maximum.reduceat(counts, table.row_starts[:-1])
        self._peaks[subset, continuation] = highest / totals

  def codes(self, places: Places) -> Codes:
    """Rows of each subset's context [m], UNSEEN where unseen or hidden."""
    codes: Codes = {(): np.zeros(len(places), np.int64)}
    for subset in self.contexts.subsets[1:]:
      parent = codes[subset[:-1]]
      found = count_models.find(
          self.tables[subset].context_keys,
          self._child_keys(parent, places, subset),
      )
      unknown = (parent == UNSEEN) | places.hidden[subset[-1]]
      codes[subset] = np.where(unknown, UNSEEN, found)
    return codes

  def evidence(
      self, codes: Codes
  ) -> tuple[np.ndarray, np.ndarray]:
    """How well each expert knows each place.

    Returns:
      Totals and distinct tokens of the contexts, [m, num_experts] float32
      each; 0 where unseen or hidden. The uniform expert's are 1.
    """
    totals = np.ones((codes[()].size, self.contexts.num_experts), np.float32)
    types = np.ones_like(totals)
    for i, (subset, continuation) in enumerate(self.contexts.experts):
      code, table = codes[subset], self.tables[subset]
      of_kind, _ = table.of_kind(continuation)
      totals[:, i] = np.where(code == UNSEEN, 0, of_kind[code])
      types[:, i] = np.where(code == UNSEEN, 0, table.types[code])
    return totals, types

  def probs(
      self,
      codes: Codes,
      tokens: np.ndarray,
  ) -> np.ndarray:
    """Relative frequency of tokens [m] by expert, [m, num_experts] float32.

    0 where the expert does not know the context.
    """
    out = np.zeros((tokens.size, self.contexts.num_experts), np.float32)
    out[:, -1] = 1.0 / self.vocab_size
    pairs = {}
    for subset, table in self.tables.items():
      # An UNSEEN context makes a key below 0, which is in no table.
      pairs[subset] = count_models.find(
          table.pair_keys, codes[subset] * self.vocab_size + tokens
      )
    for i, (subset, continuation) in enumerate(self.contexts.experts):
      totals, counts = self.tables[subset].of_kind(continuation)
      pair = pairs[subset]
      share = counts[pair] / totals[codes[subset]]
      out[:, i] = np.where(pair == UNSEEN, 0, share)
    return out

  def mix(
      self,
      codes: Codes,
      weights: np.ndarray,
      experts: Iterable[int] | None = None,
  ) -> np.ndarray:
    """Whole distributions: [m, num_experts] weights -> [m, vocab_size] f64.

    Only these experts take part, with their weights as they are; None is all.
    """
    if experts is None:
      experts = range(self.contexts.num_experts)
    known = self.contexts.experts
    out = np.zeros((weights.shape[0], self.vocab_size))
    flat = out.reshape(-1)
    for i in experts:
      if i == len(known):
        out += weights[:, i, None] / self.vocab_size
        continue
      subset, continuation = known[i]
      code, table = codes[subset], self.tables[subset]
      totals, counts = table.of_kind(continuation)
      if not subset:
        shares = np.zeros(self.vocab_size)
        shares[table.pair_keys] = counts / totals
        out += weights[:, i, None] * shares
        continue
      seen = np.flatnonzero((code != UNSEEN) & (weights[:, i] > 0))
      starts = table.row_starts[code[seen]]
      sizes = table.row_starts[code[seen] + 1] - starts
      # The pairs of all contexts: ranges of rows, one after the other.
      shift = np.repeat(starts - (np.cumsum(sizes) - sizes), sizes)
      pairs = np.arange(sizes.sum()) + shift
      scale = weights[seen, i] / totals[code[seen]]
      tokens = table.pair_keys[pairs] % self.vocab_size
      cells = np.repeat(seen * self.vocab_size, sizes) + tokens
      # A context holds a token once, so no cell comes twice.
      flat[cells] += np.repeat(scale, sizes) * counts[pairs]
    return out

  def predict(
      self, codes: Codes, weights: np.ndarray
  ) -> np.ndarray:
    """The most probable token of each mixture, [m] int64.

    Exact: the narrow experts decide where the others, all at their peaks on
    the runner-up, could not change the winner; the rest is mixed in full.
    """
    rows = np.arange(weights.shape[0])
    narrow = self.mix(codes, weights, self.contexts.narrow)
    best = narrow.argmax(axis=1)
    lead = narrow[rows, best]
    narrow[rows, best] = -1.0
    lead = lead - narrow.max(axis=1)
    slack = weights[:, -1] / self.vocab_size
    for i, (subset, continuation) in enumerate(self.contexts.experts):
      if i not in self.contexts.narrow:
        code = codes[subset]
        peaks = self._peaks[subset, continuation]
        slack += np.where(code == UNSEEN, 0, weights[:, i] * peaks[code])
    open_rows = np.flatnonzero(lead <= slack)
    part = {subset: code[open_rows] for subset, code in codes.items()}
    best[open_rows] = self.mix(part, weights[open_rows]).argmax(axis=1)
    return best

  def _child_keys(
      self, parent: np.ndarray, places: Places, subset: tuple[int, ...]
  ) -> np.ndarray:
    return parent * self._num_symbols + places.symbols[subset[-1]]

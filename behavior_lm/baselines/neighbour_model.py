"""A count model of masked events from two neighbours on each side.

It mixes the relative frequencies given every subset of the four neighbours
and the continuation counts of the small subsets (`neighbour_counts.py`) with
weights chosen on the latest training sequences (`mixture_gate.py`).

Why this one. Masked perplexity on the later days of a real game server (masked
context / full context; 15 % masked, 7,000 pairs):

  best chain of Witten-Bell back-offs (r1, l1, l2, r2)   5.91 / 2.60
  this mixture without continuation counts               2.58 / 2.17
  this mixture                                           2.55 / 2.14

Tried and left out: forgetting older days (worse: 2.30, 2.22, 2.19 in full
context with a decay of 2, 4, 8 days), discounts instead of plain frequencies
(no gain), weights that also depend on the entropy of each context (0.2 % at
best), the two sides multiplied under conditional independence (2.54 / 2.13),
the exact posterior of a trigram model as one more expert (at most 1.3 % lower
in full context, far dearer). The weights never see the later days, but the
variants were compared on them: that can only flatter this baseline.
"""

from collections.abc import Sequence

import numpy as np

from behavior_lm.baselines import neighbour_counts
from behavior_lm.baselines.mixture_gate import MixtureGate
from behavior_lm.baselines.neighbour_contexts import Codes
from behavior_lm.baselines.neighbour_contexts import Contexts
from behavior_lm.baselines.neighbour_contexts import GAP
from behavior_lm.baselines.neighbour_contexts import OFFSETS
from behavior_lm.baselines.neighbour_counts import NeighbourCounts
from behavior_lm.baselines.neighbour_counts import Places

# The latest sequences that hold this share of the training events choose the
# weights; on a fortnight of days that is about the last two.
SELECTION_SHARE = 0.15
# Events on which the weights are chosen: more changed nothing measurable.
MAX_SELECTION_EVENTS = 80_000
# Float64 cells of a block of whole distributions, 64 MiB.
BLOCK_CELLS = 1 << 23
SCORE_BLOCK = 1 << 16


def latest(lengths: np.ndarray, share: float = SELECTION_SHARE) -> np.ndarray:
  """The last sequences that together hold `share` of all events, [n] bool.

  At least one sequence is chosen and at least one is not.

  Raises:
    ValueError: for fewer than two sequences.
  """
  if len(lengths) < 2:
    raise ValueError(
        "choosing mixture weights takes at least two training sequences, not"
        f" {len(lengths)}"
    )
  after = np.cumsum(lengths[::-1])[::-1] - lengths
  chosen = after < share * lengths.sum()
  chosen[-1], chosen[0] = True, False
  return chosen


class NeighbourModel:
  """p(event | two neighbours on each side), some of them perhaps unknown.

  With hidden masked neighbours it sees what a masked language model sees of
  these four places; else it also sees their true values, which flatters it.
  A place beyond the end of a sequence is a known symbol.

  Args:
    vocab_size: symbols are in [0, vocab_size).
    hide_rate: how often a neighbour is hidden when the model is scored; the
      weights are chosen under the same rate.
    seed: of what is hidden.
    gap_side: the time to the next neighbour on this side, -1 or 1, is known
      where that is not masked: methods then need gaps. 0 knows no time.
  """

  def __init__(
      self,
      vocab_size: int,
      *,
      hide_rate: float = 0.15,
      seed: int = 0,
      gap_side: int = 0,
  ):
    if vocab_size < 1:
      raise ValueError(f"vocab_size is at least 1, not {vocab_size}")
    self.vocab_size = vocab_size
    self.hide_rate = hide_rate
    self.seed = seed
    self._counts: NeighbourCounts | None = None
    self.contexts = Contexts(gap_side)
    # The gap is hidden with its neighbour, and makes no pattern of its own.
    self._gate = MixtureGate(
        self.contexts.num_experts, 1 << len(OFFSETS)
    )

  def fit(
      self,
      sequences: Sequence[np.ndarray],
      starts: Sequence[int] | np.ndarray | None = None,
      gaps: Sequence[np.ndarray] | None = None,
  ) -> "NeighbourModel":
    """Counts; chooses the weights on the latest sequences, then adds those.

    Args:
      sequences: int arrays with values in [0, vocab_size).
      starts: when each sequence begins; without it, they come in time order.
      gaps: of each sequence, see `find_places`.

    Raises:
      ValueError: for fewer than two sequences that hold events, a token
        outside the vocabulary, or another number of starts.
    """
    sequences = [np.asarray(sequence) for sequence in sequences]
    if starts is None:
      starts = np.arange(len(sequences))
    if len(starts) != len(sequences):
      raise ValueError(f"{len(starts)} starts, {len(sequences)} sequences")
    # In order of time, so that the order they came in changes nothing.
    order = np.argsort(starts, kind="stable")
    filled = [int(i) for i in order if sequences[i].size]
    sequences = [sequences[i] for i in filled]
    gaps = None if gaps is None else [gaps[i] for i in filled]
    lengths = np.array([sequence.size for sequence in sequences], np.int64)
    chosen = latest(lengths)
    take = lambda arrays, which: [arrays[i] for i in np.flatnonzero(which)]
    gaps_of = lambda which: None if gaps is None else take(gaps, which)
    count = lambda arrays, gaps: NeighbourCounts(
        arrays, self.vocab_size, self.contexts, gaps
    )
    self._fit_gate(
        count(take(sequences, ~chosen), gaps_of(~chosen)),
        take(sequences, chosen),
        gaps_of(chosen),
    )
    self._counts = count(sequences, gaps)
    return self

  def log_probs_of(
      self,
      sequences: Sequence[np.ndarray],
      masks: Sequence[np.ndarray],
      hide_masked_neighbours: bool,
      gaps: Sequence[np.ndarray] | None = None,
  ) -> np.ndarray:
    """Natural log p(x_i | neighbours) of all masked events, joined, float64.

    Args:
      sequences: [n] int each.
      masks: [n] bool each, which events to predict.
      hide_masked_neighbours: True: neighbours that are masked are unknown
        ("masked context"). False: all are seen ("full context").
      gaps: [n] each, see `find_places`.
    """
    counts, places = self._places(
        sequences, masks, hide_masked_neighbours, gaps
    )
    out = np.zeros(len(places))
    for first in range(0, len(places), SCORE_BLOCK):
      block = slice(first, first + SCORE_BLOCK)
      part = places.take(block)
      codes, weights = self._mixture(counts, part)
      out[block] = (weights * counts.probs(codes, part.tokens)).sum(axis=1)
    return np.log(out)

  def probs(
      self,
      sequence: np.ndarray,
      masked: np.ndarray,
      hide_masked_neighbours: bool,
      gaps: np.ndarray | None = None,
  ) -> np.ndarray:
    """Whole distributions of the masked events, [num_masked, vocab_size]."""
    counts, places = self._places(
        [sequence],
        [masked],
        hide_masked_neighbours,
        None if gaps is None else [gaps],
    )
    return counts.mix(*self._mixture(counts, places))

  def predict_of(
      self,
      sequences: Sequence[np.ndarray],
      masks: Sequence[np.ndarray],
      hide_masked_neighbours: bool,
      gaps: Sequence[np.ndarray] | None = None,
  ) -> np.ndarray:
    """The most probable token at each masked event, joined, int64.

    The arguments are those of `log_probs_of`. Memory does not grow with the
    number of sequences.
    """
    counts, places = self._places(
        sequences, masks, hide_masked_neighbours, gaps
    )
    size = max(1, BLOCK_CELLS // self.vocab_size)
    best = [np.zeros(0, np.int64)]
    for first in range(0, len(places), size):
      block = places.take(slice(first, first + size))
      best.append(counts.predict(*self._mixture(counts, block)))
    return np.concatenate(best)

  def _places(
      self,
      sequences: Sequence[np.ndarray],
      masks: Sequence[np.ndarray],
      hide: bool,
      gaps: Sequence[np.ndarray] | None,
  ) -> tuple[NeighbourCounts, Places]:
    if self._counts is None:
      raise ValueError("this neighbour model has no counts; call fit first")
    return self._counts, self._find(sequences, masks, hide, gaps)

  def _find(
      self,
      sequences: Sequence[np.ndarray],
      masks: Sequence[np.ndarray],
      hide: bool,
      gaps: Sequence[np.ndarray] | None,
  ) -> Places:
    return neighbour_counts.find_places(
        sequences,
        masks,
        hide=hide,
        vocab_size=self.vocab_size,
        gaps=gaps,
        gap_side=self.contexts.gap_side,
    )

  def _mixture(
      self, counts: NeighbourCounts, places: Places
  ) -> tuple[Codes, np.ndarray]:
    """Context codes and mixture weights [m, num_experts] of the places."""
    codes = counts.codes(places)
    totals, types = counts.evidence(codes)
    return codes, self._gate.weights(totals, types, places.patterns)

  def _fit_gate(
      self,
      counts: NeighbourCounts,
      sequences: Sequence[np.ndarray],
      gaps: Sequence[np.ndarray] | None,
  ) -> None:
    rng = np.random.default_rng(self.seed)
    everything = [np.ones(sequence.size, bool) for sequence in sequences]
    places = self._find(sequences, everything, False, gaps)
    if len(places) > MAX_SELECTION_EVENTS:
      rows = rng.choice(len(places), MAX_SELECTION_EVENTS, replace=False)
      places = places.take(np.sort(rows))
    # Every place twice: once with all neighbours, once as under a mask.
    hidden = {
        offset: rng.random(len(places)) < self.hide_rate
        for offset in OFFSETS
    }
    if self.contexts.gap_side:
      hidden[GAP] = hidden[self.contexts.gap_side]
    both = places.join(Places(places.tokens, places.symbols, hidden))
    codes = counts.codes(both)
    totals, types = counts.evidence(codes)
    probs = counts.probs(codes, both.tokens)
    self._gate.fit(probs, totals, types, both.patterns)

"""Blocks of features, and the rows of a downstream table made of them.

A block gives a matrix of all rows from the training rows: which columns it has
and how it projects them is chosen on these alone.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses

import numpy as np
from scipy import sparse
from sklearn.decomposition import TruncatedSVD

from behavior_lm.baselines.history_counts import frequent
from behavior_lm.baselines.history_counts import HistoryFeatures
from behavior_lm.downstream import models
from behavior_lm.downstream.models import Matrix

Block = Callable[[np.ndarray], Matrix]

COUNTS, NGRAMS, AGGREGATES = "event counts", "n-grams", "aggregates"
FIRST_SEEN, SVD, NOTHING = "first occurrences", "SVD of n-grams", "nothing"
HOURS, EXTRAS = "hours", "extras"
VECTORS, SURPRISE = "vectors", "surprise"
MAX_COLUMNS = 1_000
MAX_BIGRAMS = 500
BASELINE, MODEL = "baseline", "model"


@dataclasses.dataclass(frozen=True)
class Row:
  """One row of a table.

  Attributes:
    blocks: names of the features, side by side.
    model: one of `downstream.models`.
    group: BASELINE, or MODEL for what uses a run.
  """

  blocks: tuple[str, ...]
  model: str
  group: str = BASELINE

  @property
  def name(self) -> str:
    return f"{' + '.join(self.blocks)}, {self.model}"


def make_blocks(
    features: HistoryFeatures,
    *,
    width: int,
    vectors: np.ndarray | None = None,
    surprise: np.ndarray | None = None,
) -> dict[str, Block]:
  """All blocks that there are features for.

  Args:
    features: of the rows.
    width: of the SVD; that of the vectors, to compare like with like.
    vectors: [n, embed_dim] of a run.
    surprise: [n, columns] of a causal run.
  """
  counts, bigrams = _log(features.counts), _log(features.bigrams)

  def columns(matrix: sparse.csr_array, size: int) -> Block:
    return lambda train: matrix[:, frequent(matrix, train, size)]

  def ngrams(train: np.ndarray) -> sparse.csr_array:
    parts = [
        columns(counts, MAX_COLUMNS)(train),
        columns(bigrams, MAX_BIGRAMS)(train),
    ]
    return sparse.csr_array(sparse.hstack(parts))

  def svd(train: np.ndarray) -> np.ndarray:
    matrix = ngrams(train)
    size = max(1, min(width, len(train) - 1, matrix.shape[1] - 1))
    fitted = TruncatedSVD(size, random_state=0).fit(matrix[train])
    return fitted.transform(matrix)

  blocks: dict[str, Block] = {
      NOTHING: lambda train: np.zeros((len(features.num_events), 1)),
      COUNTS: columns(counts, MAX_COLUMNS),
      NGRAMS: ngrams,
      FIRST_SEEN: columns(features.first_seen, MAX_BIGRAMS),
      AGGREGATES: lambda train: features.aggregates,
      HOURS: lambda train: features.hours,
      SVD: svd,
  }
  if features.extras.shape[1]:
    blocks[EXTRAS] = lambda train: features.extras
  if vectors is not None:
    blocks[VECTORS] = lambda train: vectors
  if surprise is not None:
    blocks[SURPRISE] = lambda train: surprise
  return blocks


def baseline_rows(declared: Sequence[str] = ()) -> list[Row]:
  """The rows that need no run.

  Args:
    declared: HOURS, EXTRAS or both: blocks that may hold how the rows were
      drawn, joined to the best of the others so that both stand side by side.
  """
  rows = [Row((NOTHING,), models.PRIOR)]
  rows += [
      Row(blocks, model)
      for blocks in ((COUNTS,), (NGRAMS,), (AGGREGATES,))
      for model in (models.LOGISTIC, models.FOREST, models.BOOSTING)
  ]
  rows += [Row((SVD,), model) for model in (models.LOGISTIC, models.FOREST)]
  everything = (AGGREGATES, NGRAMS, FIRST_SEEN)
  rows += [
      Row(everything, model) for model in (models.FOREST, models.BOOSTING)
  ]
  if declared:
    rows.append(Row((*everything, *declared), models.BOOSTING))
  return rows


def run_rows(has_surprise: bool) -> list[Row]:
  """The rows of a run's frozen vectors, and of its surprise if it is causal.

  A forest stands beside every logistic regression, as it does for counts. A
  row of a fine-tuned run has `group` MODEL and brings its scores by itself;
  it goes through `cross_validation.save_scores` like these.
  """
  sets: list[tuple[str, ...]] = [(VECTORS,), (VECTORS, AGGREGATES)]
  if has_surprise:
    sets += [(SURPRISE,), (VECTORS, AGGREGATES, SURPRISE)]
  rows = [
      Row(blocks, model, MODEL)
      for blocks in sets
      for model in (models.LOGISTIC, models.FOREST)
  ]
  rows.append(
      Row((*sets[-1], NGRAMS, FIRST_SEEN), models.BOOSTING, MODEL)
  )
  return rows


def join(
    blocks: Mapping[str, Block], names: Sequence[str], train: np.ndarray
) -> Matrix:
  """The blocks side by side; sparse if all of them are."""
  parts = [blocks[name](train) for name in names]
  if all(sparse.issparse(part) for part in parts):
    return sparse.csr_array(sparse.hstack(parts))
  return np.hstack([
      part.toarray() if sparse.issparse(part) else part for part in parts
  ])


def _log(matrix: sparse.csr_array) -> sparse.csr_array:
  out = matrix.copy()
  out.data = np.log1p(out.data)
  return out

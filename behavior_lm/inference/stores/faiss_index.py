"""Nearest vectors by FAISS: flat, inverted lists (IVF) or HNSW.

An index is a folder: `index.faiss`, `rows.parquet` (the raw ids and other
columns of each row, in order) and `manifest.json` with the measured recall.

The approximate kinds have one dial: `effort`, the lists that IVF probes or the
candidates that HNSW keeps (`efSearch`). It is raised until the recall@10
against brute force reaches the target on one half of the sampled queries; the
other half gives the recall that is reported.
"""

from collections.abc import Callable, Sequence
import dataclasses
import functools
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from behavior_lm.common.errors import first_line
from behavior_lm.common.errors import UserError
from behavior_lm.common.folders import atomic_folder
from behavior_lm.inference.stores import manifest
from behavior_lm.inference.stores.faiss_kinds import IndexSpec
from behavior_lm.inference.stores.faiss_kinds import KINDS
from behavior_lm.inference.stores.faiss_kinds import load_faiss
from behavior_lm.inference.stores.faiss_kinds import prepare

STORE = "faiss"
RECALL_AT = 10
_INDEX = "index.faiss"
_ROWS = "rows.parquet"
_MAX_QUERIES = 1_000
_MAX_EFFORT = 4_096


@dataclasses.dataclass
class VectorIndex:
  """An index that is searched by vectors and answers with row numbers.

  Attributes:
    index: of FAISS.
    rows: one row of ids a vector, in the order of the index.
    spec: how it was built.
    effort: see the head of this file; 0 for "flat".
    recall: recall@10 against brute force, as measured when it was built.
  """

  index: Any
  rows: pl.DataFrame
  spec: IndexSpec
  effort: int = 0
  recall: float = 1.0

  def __len__(self) -> int:
    return int(self.index.ntotal)

  def search(
      self, queries: np.ndarray, k: int, *, effort: int | None = None
  ) -> tuple[np.ndarray, np.ndarray]:
    """The k best rows of each query.

    Args:
      queries: [num_queries, dim].
      k: how many; at least 1.
      effort: instead of the index's own, which grows with k.

    Returns:
      Scores [num_queries, k] float32, descending, and row numbers
      [num_queries, k] int64; equal scores are ordered by row. Where an index
      finds fewer rows, the score is -inf and the row is -1.

    Raises:
      UserError: if the queries have another width or are not finite.
    """
    ready = self._prepare(queries)
    if k < 1:
      raise UserError(f"k is {k}; ask for at least 1 row.")
    return self._search(ready, k, effort or self._effort_for(k))

  def search_unseen(
      self, queries: np.ndarray, k: int, seen: Sequence[np.ndarray]
  ) -> tuple[np.ndarray, np.ndarray]:
    """The k best rows of each query that are not among its seen rows.

    As many more rows are fetched as a query has seen. Where an approximate
    index still finds too few, the search is repeated with more effort.

    Args:
      queries: [num_queries, dim].
      k: how many; at least 1.
      seen: row numbers to drop, one array for each query.

    Returns:
      As `search`; a row is -1 only if fewer than k rows are unseen (or HNSW
      cannot reach them).

    Raises:
      UserError: as `search`, or if `seen` does not fit.
    """
    ready = self._prepare(queries)
    if len(seen) != len(ready):
      raise UserError(f"{len(ready)} queries but {len(seen)} lists of seen.")
    if k < 1:
      raise UserError(f"k is {k}; ask for at least 1 row.")
    dropped = [np.unique(np.asarray(rows, np.int64)) for rows in seen]
    for query, rows in enumerate(dropped):
      if len(rows) and not 0 <= rows[0] <= rows[-1] < len(self):
        raise UserError(
            f"seen rows of query {query} lie between {rows[0]} and {rows[-1]};"
            f" the index has rows 0 to {len(self) - 1}."
        )
    scores = np.full((len(ready), k), -np.inf, np.float32)
    found = np.full((len(ready), k), -1, np.int64)
    wanted = np.minimum(k, [len(self) - len(rows) for rows in dropped])
    sizes = np.array([k + len(rows) for rows in dropped], np.int64)
    # Users who have seen much shall not make all others fetch as much.
    groups = np.ceil(np.log2(np.maximum(sizes, 1))).astype(int)
    for group in np.unique(groups):
      pending = np.flatnonzero(groups == group)
      fetch = int(sizes[pending].max())
      effort = self._effort_for(fetch)
      while len(pending):
        fetch = min(fetch, len(self))
        got = self._search(ready[pending], fetch, effort)
        kept = _drop_rows(*got, [dropped[q] for q in pending], k, len(self))
        scores[pending], found[pending] = kept
        short = (kept[1] >= 0).sum(1) < wanted[pending]
        if fetch == len(self) and effort >= self._most_effort():
          break
        pending = pending[short]
        fetch, effort = 2 * fetch, 2 * effort
    return scores, found

  def save(
      self, out: str | Path, *, overwrite: bool = False, **about: Any
  ) -> None:
    """Writes the folder of the index, whole or not at all.

    Args:
      out: the folder.
      overwrite: replace an index that is there.
      about: JSON values for the manifest.

    Raises:
      UserError: if `out` is in the way or cannot be written.
    """
    faiss = load_faiss()
    with atomic_folder(
        Path(out),
        overwrite=overwrite,
        is_ours=lambda folder: manifest.is_store(folder, STORE),
        prefix="--to faiss:",
        kind="FAISS index",
    ) as folder:
      faiss.write_index(self.index, str(folder / _INDEX))
      self.rows.write_parquet(folder / _ROWS)
      manifest.write_manifest(
          folder,
          STORE,
          manifest.describe_files(folder, (_INDEX, _ROWS)),
          {
              "spec": dataclasses.asdict(self.spec),
              "rows": len(self),
              "dim": int(self.index.d),
              "effort": self.effort,
              f"recall_at_{RECALL_AT}": self.recall,
              "faiss_version": faiss.__version__,
              **about,
          },
      )

  def _prepare(self, queries: np.ndarray) -> np.ndarray:
    return prepare(queries, self.spec.metric, int(self.index.d))

  def _most_effort(self) -> int:
    return KINDS[self.spec.kind].most_effort(self.index)

  def _effort_for(self, fetch: int) -> int:
    """The effort was tuned for ten rows; more rows lie further apart."""
    grown = self.effort * math.sqrt(max(1, fetch / RECALL_AT))
    least = KINDS[self.spec.kind].per_row * fetch
    return min(max(math.ceil(grown), least), self._most_effort())

  def _search(
      self, queries: np.ndarray, k: int, effort: int
  ) -> tuple[np.ndarray, np.ndarray]:
    params = KINDS[self.spec.kind].params(effort)
    scores, rows = self.index.search(queries, k, params=params)
    scores = np.where(rows >= 0, scores, -np.inf)
    order = np.lexsort((rows, -scores), axis=-1)
    return (
        np.take_along_axis(scores, order, 1),
        np.take_along_axis(rows, order, 1),
    )


def build_index(
    vectors: np.ndarray,
    rows: pl.DataFrame,
    spec: IndexSpec | None = None,
    *,
    queries: np.ndarray | None = None,
    say: Callable[[str], None] = print,
) -> VectorIndex:
  """Builds an index and measures its recall.

  Args:
    vectors: [num_rows, dim] float32, at least one.
    rows: the ids of the vectors, row for row.
    spec: how; the defaults when None.
    queries: [n, dim] real queries to tune and measure with, user vectors for
      an index of items for example; rows of the index when None.
    say: called with a message when the target is not reached.

  Raises:
    UserError: if the vectors do not fit, or FAISS is not installed.
  """
  spec = spec or IndexSpec()
  spec.check()
  if vectors.ndim != 2 or not vectors.size or len(vectors) != rows.height:
    raise UserError(
        f"vectors of shape {vectors.shape} and {rows.height} rows of ids; give"
        " one vector for each row, and at least one."
    )
  ready = prepare(vectors, spec.metric, vectors.shape[1])
  kind = KINDS[spec.kind]
  index = VectorIndex(kind.build(ready, spec), rows, spec)
  rng = np.random.default_rng(spec.seed)
  pool = ready if queries is None else index._prepare(queries)
  count = min(len(pool), _MAX_QUERIES)
  sample = pool[rng.permutation(len(pool))[:count]]
  index.effort, index.recall = _tune(index, ready, sample)
  if index.recall < spec.target_recall:
    say(
        f"recall@{RECALL_AT} of the {spec.kind} index is {index.recall:.4f},"
        f" below {spec.target_recall}, with effort {index.effort}; build it"
        " with more links and build_effort, or take flat or ivf"
    )
  return index


def load_index(folder: str | Path) -> VectorIndex:
  """Reads the folder of an index.

  Raises:
    UserError: if it is none, a file is missing or changed, or FAISS is not
      installed.
  """
  folder = Path(folder)
  found = manifest.read_manifest(folder, STORE)
  try:
    index = load_faiss().read_index(str(folder / _INDEX))
    rows = pl.read_parquet(folder / _ROWS)
    spec = IndexSpec(**found["spec"])
    spec.check()
    recall = float(found[f"recall_at_{RECALL_AT}"])
    effort = int(found["effort"])
  except UserError:
    raise
  except (KeyError, TypeError, RuntimeError, OSError) as error:
    raise UserError(
        f"{folder}: cannot be read as an index ({first_line(error)}). Export"
        " again with --overwrite."
    ) from error
  if index.ntotal != rows.height:
    raise UserError(
        f"{folder}: {index.ntotal} vectors but {rows.height} rows of ids."
        " Export again with --overwrite."
    )
  return VectorIndex(index, rows, spec, effort, recall)


def brute_force(
    queries: np.ndarray, vectors: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
  """The k best rows by inner product, by NumPy alone.

  Args:
    queries: [num_queries, dim].
    vectors: [num_rows, dim].
    k: how many; at most num_rows are found.

  Returns:
    Scores [num_queries, k], descending, and rows [num_queries, k] int64;
    equal scores are ordered by row.
  """
  k = min(k, len(vectors))
  scores = np.empty((len(queries), k), np.float32)
  rows = np.empty((len(queries), k), np.int64)
  for start in range(0, len(queries), 64):
    at = slice(start, start + 64)
    found = queries[at] @ vectors.T
    best = np.argpartition(-found, k - 1, axis=1)[:, :k]
    values = np.take_along_axis(found, best, 1)
    order = np.lexsort((best, -values), axis=-1)
    scores[at] = np.take_along_axis(values, order, 1)
    rows[at] = np.take_along_axis(best, order, 1)
  return scores, rows


def _recall(
    index: VectorIndex, vectors: np.ndarray, queries: np.ndarray, effort: int
) -> float:
  """Share of the true best rows that are found; equal scores are as good."""
  k = min(RECALL_AT, len(vectors))
  truth, _ = brute_force(queries, vectors, k)
  _, rows = index._search(queries, k, effort)
  scores = np.einsum("qd,qkd->qk", queries, vectors[rows])
  slack = 1e-5 * np.maximum(1, np.abs(truth[:, -1:]))
  return float(((scores >= truth[:, -1:] - slack) & (rows >= 0)).mean())


def _tune(
    index: VectorIndex, vectors: np.ndarray, sample: np.ndarray
) -> tuple[int, float]:
  """The least power of two as effort that reaches the target; its recall."""
  half = max(1, len(sample) // 2)
  tuned, measured = sample[:half], sample[-half:]
  measure = functools.partial(_recall, index, vectors)
  most = min(index._most_effort(), _MAX_EFFORT)
  effort = min(RECALL_AT, most)
  while effort < most and measure(tuned, effort) < index.spec.target_recall:
    effort = min(2 * effort, most)
  return effort, measure(measured, effort)


def _drop_rows(
    scores: np.ndarray,
    rows: np.ndarray,
    dropped: Sequence[np.ndarray],
    k: int,
    num_rows: int,
) -> tuple[np.ndarray, np.ndarray]:
  """The first k of [n, fetched] that are not dropped, padded by -inf and -1."""
  query = np.arange(len(rows))[:, None]
  gone = [rows + q * num_rows for q, rows in enumerate(dropped)]
  seen = np.isin(rows + query * num_rows, np.concatenate(gone))
  keep = (rows >= 0) & ~seen
  order = np.argsort(~keep, axis=1, kind="stable")[:, :k]
  chosen = np.take_along_axis(keep, order, 1)
  pad = ((0, 0), (0, k - order.shape[1]))
  return (
      np.pad(
          np.where(chosen, np.take_along_axis(scores, order, 1), -np.inf),
          pad,
          constant_values=-np.inf,
      ),
      np.pad(
          np.where(chosen, np.take_along_axis(rows, order, 1), -1),
          pad,
          constant_values=-1,
      ),
  )

"""The kinds of FAISS indices: how each is built, and its one dial."""

from collections.abc import Callable
import dataclasses
import math
from typing import Any

import numpy as np

from behavior_lm.common.errors import UserError

METRICS = ("inner_product", "cosine")
# FAISS asks for this many training vectors per list.
_ROWS_PER_LIST = 39


@dataclasses.dataclass(frozen=True)
class IndexSpec:
  """How an index is built.

  Attributes:
    kind: "flat" compares with all vectors, exactly; "ivf" with those of the
      nearest lists; "hnsw" walks a graph.
    metric: "inner_product", or "cosine" of the angle (a vector of zeros then
      scores 0 with everything).
    num_lists: of IVF; 0 is about 4 sqrt(rows), as many as can be trained.
    num_links: of each vector in HNSW, M in arXiv 1603.09320.
    build_effort: candidates while HNSW is built, efConstruction there.
    target_recall: recall@10 up to which `effort` is raised.
    seed: of the sampled queries.
  """

  kind: str = "flat"
  metric: str = "inner_product"
  num_lists: int = 0
  num_links: int = 32
  build_effort: int = 200
  target_recall: float = 0.99
  seed: int = 0

  def check(self) -> None:
    """Raises UserError for values that mean nothing."""
    for name, known in (("kind", KINDS), ("metric", METRICS)):
      value = getattr(self, name)
      if value not in known:
        raise UserError(
            f"{name} {value!r} of a FAISS index; known are {', '.join(known)}."
        )
    if not 0 < self.target_recall <= 1:
      raise UserError(
          f"target_recall is {self.target_recall}; give a share in (0, 1]."
      )
    if self.num_lists < 0 or self.num_links < 2 or self.build_effort < 1:
      raise UserError(
          f"num_lists {self.num_lists} (at least 0), num_links"
          f" {self.num_links} (at least 2) and build_effort"
          f" {self.build_effort} (at least 1) do not fit an index."
      )


def prepare(vectors: np.ndarray, metric: str, dim: int) -> np.ndarray:
  """Vectors as an index takes them.

  Args:
    vectors: [n, dim].
    metric: "cosine" divides each vector by its length.
    dim: that is expected.

  Returns:
    [n, dim] float32, contiguous.

  Raises:
    UserError: if they have another width or are not finite.
  """
  ready = np.ascontiguousarray(vectors, np.float32)
  if ready.ndim != 2 or ready.shape[1] != dim:
    raise UserError(
        f"vectors of shape {ready.shape}; the index holds vectors of {dim}"
        f" numbers, so give [n, {dim}]."
    )
  if not np.isfinite(ready).all():
    row = int(np.argmin(np.isfinite(ready).all(1)))
    raise UserError(f"vector {row} is not finite.")
  if metric == "cosine":
    norms = np.linalg.norm(ready, axis=1, keepdims=True)
    ready = (ready / np.where(norms > 0, norms, 1)).astype(np.float32)
  return ready


@dataclasses.dataclass(frozen=True)
class Kind:
  """One kind of index.

  Attributes:
    build: (vectors, spec) -> index of FAISS.
    params: effort -> parameters of a search.
    most_effort: index -> the effort beyond which nothing changes.
    per_row: effort that each fetched row needs at least. HNSW loses rows if
      it keeps fewer candidates than are fetched.
  """

  build: Callable[[np.ndarray, IndexSpec], Any]
  params: Callable[[int], Any]
  most_effort: Callable[[Any], int]
  per_row: int = 0


def _build_flat(vectors: np.ndarray, spec: IndexSpec) -> Any:
  del spec
  index = load_faiss().IndexFlatIP(vectors.shape[1])
  index.add(vectors)
  return index


def _build_ivf(vectors: np.ndarray, spec: IndexSpec) -> Any:
  faiss = load_faiss()
  most = max(1, len(vectors) // _ROWS_PER_LIST)
  if spec.num_lists > len(vectors):
    raise UserError(
        f"num_lists {spec.num_lists}: an index of {len(vectors)} rows has at"
        f" most as many lists; {most} or fewer can be trained well."
    )
  wanted = spec.num_lists or min(most, int(4 * math.sqrt(len(vectors))))
  quantizer = faiss.IndexFlatIP(vectors.shape[1])
  index = faiss.IndexIVFFlat(
      quantizer, vectors.shape[1], wanted, faiss.METRIC_INNER_PRODUCT
  )
  index.train(vectors)
  index.add(vectors)
  return index


def _build_hnsw(vectors: np.ndarray, spec: IndexSpec) -> Any:
  faiss = load_faiss()
  index = faiss.IndexHNSWFlat(
      vectors.shape[1], spec.num_links, faiss.METRIC_INNER_PRODUCT
  )
  index.hnsw.efConstruction = spec.build_effort
  index.add(vectors)
  return index


KINDS = {
    "flat": Kind(_build_flat, lambda effort: None, lambda index: 0),
    "ivf": Kind(
        _build_ivf,
        lambda effort: load_faiss().SearchParametersIVF(nprobe=effort),
        lambda index: int(index.nlist),
    ),
    "hnsw": Kind(
        _build_hnsw,
        lambda effort: load_faiss().SearchParametersHNSW(efSearch=effort),
        lambda index: int(index.ntotal),
        per_row=2,
    ),
}


def load_faiss() -> Any:
  """The module of FAISS.

  Raises:
    UserError: if it is not installed.
  """
  try:
    import faiss
  except ImportError as error:
    raise UserError(
        "FAISS is not installed. Run: pip install 'behavior_lm[faiss]'."
    ) from error
  return faiss

"""Vectors to points of a plane: PCA, then t-SNE, the same every time."""

import dataclasses

import numpy as np
from threadpoolctl import threadpool_limits

LEAST_POINTS = 5
_COMPONENTS = 50
_PERPLEXITY = 30.0
_SEED = 0


@dataclasses.dataclass(frozen=True)
class Projection:
  """A map.

  Attributes:
    points: [n, 2].
    components: number of principal components that t-SNE saw.
    kept: share of the variance in them.
    perplexity: of t-SNE, about the number of neighbours that count.
  """

  points: np.ndarray
  components: int
  kept: float
  perplexity: float


def project(vectors: np.ndarray) -> Projection | None:
  """PCA to 50, t-SNE to 2 (van der Maaten and Hinton, JMLR 2008).

  Args:
    vectors: [n, dim], finite.

  Returns:
    The map; None if there are fewer than five different vectors.
  """
  vectors = vectors.astype(np.float64)
  if len(np.unique(vectors, axis=0)) < LEAST_POINTS:
    return None
  # Late: scikit-learn takes a second to import.
  from sklearn.decomposition import PCA
  from sklearn.manifold import TSNE

  count = min(_COMPONENTS, *vectors.shape)
  # Sums over threads come in any order, and t-SNE enlarges the difference.
  with threadpool_limits(limits=1):
    pca = PCA(count, svd_solver="full")
    reduced = pca.fit_transform(vectors)
    # One number for all: t-SNE starts from components of that size.
    reduced /= reduced[:, 0].std()
    if count == 1:  # t-SNE starts from two components.
      reduced = np.hstack([reduced, np.zeros_like(reduced)])
    perplexity = min(_PERPLEXITY, (len(vectors) - 1) / 3)
    points = TSNE(
        2, init="pca", perplexity=perplexity, random_state=_SEED, n_jobs=1
    ).fit_transform(reduced)
  kept = float(pca.explained_variance_ratio_.sum())
  return Projection(points, count, kept, perplexity)

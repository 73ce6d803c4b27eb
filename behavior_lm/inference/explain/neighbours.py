"""Which events, and which users, are alike to a model: nearest by cosine."""

from pathlib import Path

import numpy as np
import polars as pl

from behavior_lm.artifacts.vectors import read_embeddings
from behavior_lm.common.errors import UserError
from behavior_lm.evaluation.ranking import top_items
from behavior_lm.inference.embedder import Embedder
from behavior_lm.logs import schema

COSINE = "cosine"


def nearest_events(
    embedder: Embedder, token: str, k: int = 10
) -> pl.DataFrame:
  """The tokens whose vectors in the model's table are nearest to one.

  Args:
    embedder: of a pretrained run.
    token: its name, as reports write it: EVENT#DESIGN, or EVENT#* for an event
      with any other design.
    k: how many.

  Returns:
    token and cosine, the nearest first; neither the token itself nor a special
    one.

  Raises:
    UserError: if the model has no such token.
  """
  names = embedder.tokenizer.tokens
  if token not in names[schema.NUM_SPECIAL :]:
    alike = [name for name in names if name.startswith(token)][:3]
    raise UserError(
        f"event {token!r}: the model has no token of that name"
        + (f"; there are {', '.join(alike)}." if alike else ".")
    )
  table = embedder.run.model.encoder.embed.token.embedding[...]
  vectors = np.asarray(table)[schema.NUM_SPECIAL :]
  own = np.array(names[schema.NUM_SPECIAL :]) == token
  order, cosines = _nearest(vectors, own, k)
  return pl.DataFrame({
      "token": [names[schema.NUM_SPECIAL + at] for at in order],
      COSINE: cosines,
  })


def nearest_users(path: str | Path, user: str, k: int = 10) -> pl.DataFrame:
  """The rows of a table of vectors that are nearest to a user's first one.

  Args:
    path: a file of experiments/embed.py.
    user: raw id.
    k: how many.

  Returns:
    The rows of the table without their vectors, and cosine, the nearest first;
    rows of the same user are not among them.

  Raises:
    UserError: if the file cannot be read, or has no such user.
  """
  table, vectors = read_embeddings(path)
  own = (table[schema.USER_ID] == user).to_numpy()
  if not own.any():
    raise UserError(f"{path}: no vector of user {user!r}.")
  order, cosines = _nearest(vectors, own, k)
  return table[order].with_columns(pl.Series(COSINE, cosines))


def _nearest(
    vectors: np.ndarray, own: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
  """The rows nearest to the first of `own` [n] bool, without those of `own`.

  Returns:
    Their numbers and their cosines; of equal ones the lower number is first.
  """
  one = vectors[own.argmax()]
  norms = np.linalg.norm(vectors, axis=1) * np.linalg.norm(one)
  cosines = np.where(own, -np.inf, vectors @ one / np.maximum(norms, 1e-12))
  order = top_items(cosines[None], k)[0]
  order = order[order >= 0]
  return order, cosines[order]

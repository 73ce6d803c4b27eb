"""Which events, and which users, are alike to a model: nearest by cosine."""

from pathlib import Path

import numpy as np
import polars as pl

from behavior_lm.artifacts.vectors import EMBEDDING
from behavior_lm.artifacts.vectors import read_embeddings
from behavior_lm.common.errors import UserError
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
  place = names.index(token, schema.NUM_SPECIAL) - schema.NUM_SPECIAL
  order, cosines = _nearest(vectors, place, k)
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
    rows of the same user are left out.

  Raises:
    UserError: if the file cannot be read, or has no such user.
  """
  table, vectors = read_embeddings(path)
  own = (table[schema.USER_ID] == user).to_numpy()
  if not own.any():
    raise UserError(f"{path}: no vector of user {user!r}.")
  place = int(own.argmax())
  kept = np.flatnonzero(~own | (np.arange(len(own)) == place))
  order, cosines = _nearest(vectors[kept], int((kept < place).sum()), k)
  return (
      table.drop(EMBEDDING, strict=False)[kept[order]]
      .with_columns(pl.Series(COSINE, cosines))
  )


def _nearest(
    vectors: np.ndarray, place: int, k: int
) -> tuple[np.ndarray, np.ndarray]:
  """Rows nearest to one of them, and their cosines; equal ones in order."""
  norms = np.linalg.norm(vectors, axis=1)
  products = vectors @ vectors[place]
  cosines = products / np.maximum(norms * norms[place], 1e-12)
  order = np.argsort(-cosines, kind="stable")
  order = order[order != place][:k]
  return order, cosines[order]

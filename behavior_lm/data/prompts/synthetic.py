"""Made-up interactions of a domain, whose truth is known.

An item has a kind and a quality, a user a taste for each kind; both show in
what users write. The user's taste, the item's quality and noise decide.
"""

import numpy as np
import polars as pl

PREFIX = "synthetic:"
KINDS = ("red", "blue", "green", "gold")
_WORDS = {1: ("good", "great", "fine"), 0: ("bad", "poor", "weak")}
_ITEMS_PER_USER = 2


def make_interactions(num_rows: int, *, seed: int = 0) -> pl.DataFrame:
  """A table as `interactions` reads it, without `domain` and `split`.

  Users and items are numbered from 0 in each table.
  """
  rng = np.random.default_rng(seed)
  num_users = max(num_rows // 12, 2)
  num_items = _ITEMS_PER_USER * num_users
  tastes = rng.normal(size=(num_users, len(KINDS)))
  kinds = rng.integers(len(KINDS), size=num_items)
  qualities = rng.normal(size=num_items)
  users = rng.integers(num_users, size=num_rows)
  items = rng.integers(num_items, size=num_rows)
  score = 2.0 * tastes[users, kinds[items]] + qualities[items] + 0.5
  labels = (score + rng.logistic(size=num_rows) > 0).astype(int)
  words = [str(rng.choice(_WORDS[label])) for label in labels.tolist()]
  names = [KINDS[kind] for kind in kinds[items].tolist()]
  return pl.DataFrame({
      "user_id": [f"u{user}" for user in users],
      "item": [f"i{item}" for item in items],
      # Two rows per second: ties occur.
      "time": np.arange(num_rows) // 2,
      "rating": np.where(labels == 1, 5.0, 2.0),
      "label": labels.astype(np.int8),
      "text": [
          f"{word} {name}" for word, name in zip(words, names, strict=True)
      ],
      "item_text": [f"{name} thing" for name in names],
  })

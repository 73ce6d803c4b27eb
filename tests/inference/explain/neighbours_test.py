import numpy as np
import polars as pl
import pytest

from behavior_lm.artifacts.vectors import embedding_column
from behavior_lm.artifacts.vectors import write_embeddings
from behavior_lm.common.errors import UserError
from behavior_lm.inference.embedder import Embedder
from behavior_lm.inference.explain.neighbours import nearest_events
from behavior_lm.inference.explain.neighbours import nearest_users
from behavior_lm.logs import schema
from tests.inference.fake_runs import make_run


def cosine(a, b):
  return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


@pytest.mark.slow
def test_events_are_sorted_by_the_cosine_of_their_rows(tmp_path):
  embedder = Embedder.load(make_run(tmp_path / "run"))
  names = embedder.tokenizer.tokens
  own = names[schema.NUM_SPECIAL + 2]
  found = nearest_events(embedder, own, 100)
  rows = np.asarray(embedder.run.model.encoder.embed.token.embedding[...])
  others = [n for n in names[schema.NUM_SPECIAL :] if n != own]
  want = {
      name: cosine(rows[names.index(own)], rows[names.index(name)])
      for name in others
  }
  assert found["token"].to_list() == sorted(want, key=want.get, reverse=True)
  np.testing.assert_allclose(
      found["cosine"], sorted(want.values(), reverse=True), rtol=1e-5
  )
  assert nearest_events(embedder, own, 3).height == 3
  for wrong in ("[MASK]", "nothing"):
    with pytest.raises(UserError, match="no token of that name"):
      nearest_events(embedder, wrong)


def test_users_are_sorted_and_the_own_rows_left_out(tmp_path):
  vectors = np.array(
      [[0, 1], [1, 0], [2, 0.1], [-1, 0], [1, 1]], np.float32
  )
  table = pl.DataFrame({
      "user_id": ["a", "b", "c", "d", "b"],
      "start": pl.Series([None] * 5, dtype=pl.Datetime("us", "UTC")),
      "num_events": [3] * 5,
  }).with_columns(embedding_column(vectors))
  write_embeddings(tmp_path / "v.parquet", table, {"run": "x"})
  found = nearest_users(tmp_path / "v.parquet", "b")
  assert found["user_id"].to_list() == ["c", "a", "d"]
  np.testing.assert_allclose(
      found["cosine"], [2 / np.hypot(2, 0.1), 0, -1], atol=1e-6
  )
  assert "embedding" not in found.columns
  with pytest.raises(UserError, match="no vector of user 'z'"):
    nearest_users(tmp_path / "v.parquet", "z")

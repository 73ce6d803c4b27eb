import json

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.inference.stores.faiss_index import brute_force
from behavior_lm.inference.stores.faiss_index import build_index
from behavior_lm.inference.stores.faiss_index import IndexSpec
from behavior_lm.inference.stores.faiss_index import load_index
from behavior_lm.inference.stores.faiss_kinds import KINDS
from behavior_lm.inference.stores.faiss_kinds import METRICS

NUM_ROWS, DIM = 2_000, 8


def clustered(count, seed=0):
  """Vectors around 50 centres, of unequal lengths."""
  rng = np.random.default_rng(seed)
  centres = np.random.default_rng(0).normal(size=(50, DIM))
  vectors = centres[rng.integers(0, 50, count)]
  vectors += 0.3 * rng.normal(size=(count, DIM))
  return vectors.astype(np.float32)


def ids(count):
  return pl.DataFrame({"item_id": [f"item {n}" for n in range(count)]})


@pytest.fixture(scope="module")
def vectors():
  return clustered(NUM_ROWS)


@pytest.fixture(scope="module")
def indices(vectors):
  return {
      (kind, metric): build_index(
          vectors, ids(NUM_ROWS), IndexSpec(kind, metric)
      )
      for kind in KINDS
      for metric in METRICS
  }


def similarity(queries, vectors, metric):
  if metric == "cosine":
    queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
  return queries.astype(np.float64) @ vectors.T.astype(np.float64)


@pytest.mark.parametrize("metric", METRICS)
def test_flat_search_is_a_sort_of_all_similarities(indices, vectors, metric):
  queries = clustered(30, seed=1)
  scores, rows = indices["flat", metric].search(queries, 10)
  want = similarity(queries, vectors, metric)
  np.testing.assert_array_equal(rows, np.argsort(-want, axis=1)[:, :10])
  np.testing.assert_allclose(scores, -np.sort(-want)[:, :10], atol=1e-4)


def test_brute_force_is_a_sort_of_all_products(vectors):
  queries = clustered(100, seed=1)
  scores, rows = brute_force(queries, vectors, 7)
  want = similarity(queries, vectors, "inner_product")
  np.testing.assert_array_equal(rows, np.argsort(-want, axis=1)[:, :7])
  np.testing.assert_allclose(scores, -np.sort(-want)[:, :7], atol=1e-4)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_default_settings_reach_the_target_and_say_so(
    indices, vectors, kind, metric
):
  index = indices[kind, metric]
  assert index.recall >= 0.99
  # New queries, by plain row numbers.
  queries = clustered(300, seed=2)
  _, rows = index.search(queries, 10)
  want = np.argsort(-similarity(queries, vectors, metric), axis=1)[:, :10]
  hits = [len(set(a) & set(b)) for a, b in zip(rows, want, strict=True)]
  assert np.mean(hits) / 10 == pytest.approx(index.recall, abs=0.02)


def test_a_starved_index_reports_its_low_recall(vectors, monkeypatch):
  monkeypatch.setattr(
      "behavior_lm.inference.stores.faiss_index._MAX_EFFORT", 10
  )
  said = []
  spec = IndexSpec("hnsw", num_links=2, build_effort=2)
  index = build_index(vectors, ids(NUM_ROWS), spec, say=said.append)
  assert index.recall < 0.9
  assert len(said) == 1 and f"{index.recall:.4f}, below 0.99" in said[0]


def test_equal_vectors_do_not_count_as_misses():
  vectors = np.repeat(clustered(5), 40, axis=0)
  index = build_index(vectors, ids(200))
  assert index.recall == 1
  _, rows = index.search(vectors[:1], 5)
  assert rows.tolist() == [sorted(rows[0])]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", list(KINDS))
def test_the_recall_lies_beside_the_index_and_it_reads_back_equal(
    indices, tmp_path, kind, metric
):
  index = indices[kind, metric]
  index.save(tmp_path / "index", source="here")
  found = json.loads((tmp_path / "index" / "manifest.json").read_text())
  assert found["recall_at_10"] == index.recall and found["source"] == "here"
  back = load_index(tmp_path / "index")
  assert back.rows.equals(index.rows)
  assert (back.spec, back.effort) == (index.spec, index.effort)
  queries = clustered(20, seed=3)
  np.testing.assert_array_equal(
      index.search(queries, 5), back.search(queries, 5)
  )


def unseen_by_sorting(scores, seen, k):
  order = [r for r in np.argsort(-scores, kind="stable") if r not in seen]
  return order[:k] + [-1] * (k - len(order))


@given(st.data())
def test_seen_rows_are_dropped_and_replaced_by_the_next_best(data):
  num_rows = data.draw(st.integers(1, 30))
  vectors = clustered(num_rows, seed=data.draw(st.integers(0, 9)))
  queries = clustered(4, seed=11)
  seen = data.draw(
      st.lists(
          st.lists(st.integers(0, num_rows - 1), max_size=40),
          min_size=4,
          max_size=4,
      )
  )
  k = data.draw(st.integers(1, 12))
  kind = data.draw(st.sampled_from(["flat", "ivf"]))
  index = build_index(vectors, ids(num_rows), IndexSpec(kind))
  index.effort = min(index.effort, 1)
  scores, rows = index.search_unseen(queries, k, seen)
  products = queries @ vectors.T
  for query in range(4):
    want = unseen_by_sorting(products[query], set(seen[query]), k)
    if kind == "flat":
      assert rows[query].tolist() == want
    # However few lists are probed, as many rows as there are come back.
    assert (rows[query] >= 0).sum() == (np.array(want) >= 0).sum()
    assert not set(rows[query].tolist()) & set(seen[query])
    found = rows[query] >= 0
    np.testing.assert_allclose(
        scores[query][found], products[query][rows[query][found]], atol=1e-5
    )
    assert np.all(np.isneginf(scores[query][~found]))


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_a_user_who_has_seen_the_best_thousand_gets_the_next(
    indices, vectors, kind
):
  queries = clustered(3, seed=5)
  order = np.argsort(-(queries @ vectors.T), axis=1)
  _, rows = indices[kind, "inner_product"].search_unseen(
      queries, 10, [order[0, :1_000], [], order[2, :3]]
  )
  hits = [
      len(set(rows[q]) & set(order[q, start : start + 10]))
      for q, start in enumerate((1_000, 0, 3))
  ]
  assert min(hits) >= 8 and (rows >= 0).all()


def test_a_vector_of_zeros_has_no_direction(vectors):
  zero = np.zeros((1, DIM), np.float32)
  index = build_index(
      np.concatenate([vectors[:50], zero]), ids(51), IndexSpec(metric="cosine")
  )
  scores, _ = index.search(zero, 51)
  assert (scores == 0).all()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (dict(kind="tree"), "kind 'tree'.*flat, ivf, hnsw"),
        (dict(metric="l2"), "metric 'l2'.*inner_product, cosine"),
        (dict(target_recall=2), "target_recall is 2"),
        (dict(kind="hnsw", num_links=1), "num_links 1"),
        (dict(kind="ivf", num_lists=60), "num_lists 60: .* 50 rows"),
    ],
)
def test_odd_settings_are_refused(vectors, spec, message):
  with pytest.raises(UserError, match=message):
    build_index(vectors[:50], ids(50), IndexSpec(**spec))


def test_odd_vectors_and_queries_are_refused(indices, vectors):
  index = indices["flat", "cosine"]
  with pytest.raises(UserError, match="vectors of 8 numbers"):
    index.search(np.ones((2, 9)), 3)
  with pytest.raises(UserError, match="vector 1 is not finite"):
    index.search(np.array([np.ones(DIM), np.full(DIM, np.nan)]), 3)
  with pytest.raises(UserError, match="k is 0"):
    index.search(vectors[:1], 0)
  with pytest.raises(UserError, match="2 queries but 1 lists"):
    index.search_unseen(vectors[:2], 3, [[1]])
  with pytest.raises(UserError, match="seen rows of query 0 .* 5000"):
    index.search_unseen(vectors[:1], 3, [[5_000]])
  with pytest.raises(UserError, match="one vector for each row"):
    build_index(vectors, ids(3))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "manifest.json").unlink(), "no manifest.json"),
        (lambda f: (f / "index.faiss").unlink(), "index.faiss: is missing"),
        (
            lambda f: (f / "index.faiss").write_bytes(
                (f / "index.faiss").read_bytes()[:-9]
            ),
            "truncated or changed",
        ),
        (
            lambda f: (f / "rows.parquet").write_bytes(
                (f / "rows.parquet").read_bytes()[::-1]
            ),
            "its hash differs",
        ),
    ],
)
def test_a_damaged_index_is_named(indices, tmp_path, damage, message):
  indices["flat", "cosine"].save(tmp_path / "index")
  damage(tmp_path / "index")
  with pytest.raises(UserError, match=message):
    load_index(tmp_path / "index")


def test_only_an_index_is_replaced_and_only_when_asked(indices, tmp_path):
  index = indices["flat", "cosine"]
  index.save(tmp_path / "index")
  with pytest.raises(UserError, match="holds a complete FAISS index"):
    index.save(tmp_path / "index")
  index.save(tmp_path / "index", overwrite=True)
  (tmp_path / "other").mkdir()
  (tmp_path / "other" / "letter.txt").write_text("keep me")
  with pytest.raises(UserError, match="is not a FAISS index"):
    index.save(tmp_path / "other", overwrite=True)
  (tmp_path / "file").write_text("keep me")
  with pytest.raises(UserError, match="file: is a file"):
    index.save(tmp_path / "file")
  with pytest.raises(UserError, match="is a file, not a folder"):
    index.save(tmp_path / "file" / "index")

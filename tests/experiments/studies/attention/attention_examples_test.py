import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.attention.backends import attend
from behavior_lm.attention.spec import KINDS
from experiments.studies.attention.attention_examples import example_row
from experiments.studies.attention.attention_examples import examples
from tests.attention.comparing import lsh_by_buckets

FOUND = {example.title: example for example in examples()}


def weights(example):
  """What the kernel itself gives each key: values that name their token."""
  ids = example_row()
  length = ids.shape[1]
  query, key = jax.random.normal(jax.random.key(1), (2, 1, length, 1, length))
  names = jnp.eye(length)[None, :, None]
  if example.buckets is not None:
    out = lsh_by_buckets(
        query / 8,
        names,
        buckets=example.buckets,
        segment_ids=ids,
        chunk_size=example.spec.chunk_size,
    )
  else:
    positions = jnp.arange(length)[None]
    out = attend(
        query, key, names, segment_ids=ids, positions=positions,
        spec=example.spec,
    )  # fmt: skip
  return np.asarray(out[0, :, 0])


@pytest.mark.slow
@pytest.mark.parametrize("title", FOUND)
def test_what_is_drawn_is_what_the_kernel_weighs(title):
  example = FOUND[title]
  got = weights(example) > 0
  if example.order is not None:
    got = got[example.order][:, example.order]
  np.testing.assert_array_equal(got, example.mask)
  assert np.sum(list(example.parts.values()), axis=0).max() == 1


def test_every_kind_of_attention_has_a_picture():
  specs = [example.spec for example in FOUND.values()]
  assert {spec.kind for spec in specs} == set(KINDS)
  assert {spec.causal for spec in specs} == {True, False}
  assert {spec.dilation for spec in specs} > {1}
  assert max(spec.max_globals for spec in specs) == 2
  rounds = {s.num_hashes for s in specs if s.kind == "lsh"}
  assert len(rounds) == 2


def test_sorted_by_bucket_a_chunk_sees_itself_and_the_one_before():
  example = FOUND["LSH, sorted by bucket"]
  rows, columns = np.nonzero(example.mask)
  chunk = example.spec.chunk_size
  assert set(rows // chunk - columns // chunk) == {0, 1}


@pytest.mark.slow
def test_another_seed_hashes_other_events():
  other = {example.title: example for example in examples(seed=1)}
  assert np.any(other["LSH, 1 round"].mask != FOUND["LSH, 1 round"].mask)
  assert np.all(other["dense"].mask == FOUND["dense"].mask)

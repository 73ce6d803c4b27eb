from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.attention import masks
from behavior_lm.attention.backends import attend
from behavior_lm.attention.dense import segment_mask
from behavior_lm.attention.spec import AttentionSpec
from behavior_lm.layers.heads import logits
from behavior_lm.models.language_model import LanguageModel
from behavior_lm.training.state import merge_model
from behavior_lm.training.state import split_model
from experiments.benchmarks.race.encoder_cases import make_case
from experiments.benchmarks.race.encoder_cases import model_config
from experiments.benchmarks.race.encoder_flops import attended_pairs
from experiments.benchmarks.race.encoder_flops import forward_flops
from experiments.benchmarks.step.throughput import abstract_model
from experiments.benchmarks.step.throughput import full_rows
from tests.attention.comparing import hash_order


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(
    length=st.integers(1, 40),
    window=st.integers(1, 12),
    dilation=st.integers(1, 3),
    causal=st.booleans(),
    has_global=st.booleans(),
)
def test_pairs_of_a_window_are_those_of_its_mask(
    length, window, dilation, causal, has_global
):
  spec = AttentionSpec(
      "sliding_window",
      causal=causal,
      window_size=window,
      dilation=dilation,
      max_globals=int(has_global),
  )
  ids = jnp.ones((1, length), jnp.int32)
  positions = jnp.arange(length)[None]
  mask = masks.window_mask(
      ids, window_size=window, dilation=dilation, causal=causal
  )
  if has_global:
    mask |= masks.global_mask(
        ids, global_tokens=positions == 0, causal=causal
    )
  assert attended_pairs(spec, length) == int(mask.sum())


@pytest.mark.parametrize("causal", [False, True])
def test_pairs_of_dense_attention_are_those_of_its_mask(causal):
  ids, positions = jnp.ones((1, 9), jnp.int32), jnp.arange(9)[None]
  mask = segment_mask(ids, positions=positions, causal=causal)
  assert attended_pairs(AttentionSpec(causal=causal), 9) == int(mask.sum())


def counted(settings, length=128, batch_size=2, num_predicted=40):
  """Our count of a forward pass, and XLA's of the same program.

  XLA's is of the program for TPU, which has no loops.
  """
  case = make_case(settings.pop("model"), length=length, batch_size=batch_size)
  case |= {"num_layers": 2, "vocab_size": 500} | settings
  config = model_config(case)
  model = abstract_model(
      lambda rngs: LanguageModel(case["model"], config, rngs=rngs)
  )
  graphdef, *variables = split_model(model)
  at = jnp.zeros((batch_size, num_predicted // batch_size), jnp.int32)

  def run(variables, batch):
    return logits(merge_model(graphdef, *variables)(batch, at))

  batch = full_rows(batch_size, length, 500)
  traced = jax.jit(run).trace(variables, batch)
  xla = traced.lower(lowering_platforms=("tpu",)).cost_analysis()["flops"]
  ours = forward_flops(
      model,
      batch_size=batch_size,
      length=length,
      num_predicted=num_predicted,
  )
  return ours, xla


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "most"),
    [
        # XLA counts norms, softmax and GELU besides.
        (dict(model="bert"), 1.06),
        (dict(model="albert"), 1.06),
        (dict(model="longformer", own={"window_size": 128}), 1.08),
        (dict(model="modern", own={"window_size": 128}), 1.06),
        (dict(model="reformer", own={"chunk_size": 128}), 1.1),
    ],
    ids=lambda value: value["model"] if isinstance(value, dict) else "",
)
def test_products_agree_with_the_compiler_where_nothing_is_wasted(
    settings, most
):
  ours, xla = counted(dict(settings))
  assert 1.0 < xla / ours < most


@pytest.mark.slow
def test_what_a_window_wastes_is_not_counted():
  settings = dict(model="longformer", own={"window_size": 16})
  narrow, xla_narrow = counted(dict(settings), length=512)
  wide, xla_wide = counted(
      settings | dict(own={"window_size": 128}), length=512
  )
  # 2 layers, 2 products, 2 operations a pair, width 256, 2 rows.
  pairs = [
      attended_pairs(
          AttentionSpec("sliding_window", window_size=window, max_globals=1),
          512,
      )
      for window in (16, 128)
  ]
  assert wide - narrow == (pairs[1] - pairs[0]) * 2 * 2 * 2 * 256 * 2
  assert xla_narrow / narrow < 1.2 and xla_wide / wide < 1.3


@pytest.mark.slow
def test_hashing_counts_its_rounds_chunks_and_rotations():
  shape = jax.ShapeDtypeStruct((1, 1024, 2, 32), jnp.float32)
  ids = jax.ShapeDtypeStruct((1, 1024), jnp.int32)

  def xla(spec):
    run = lambda q, v, s, p: attend(
        q,
        None,
        v,
        segment_ids=s,
        positions=p,
        spec=spec,
        order=hash_order(spec, q, s),
    )
    traced = jax.jit(run).trace(shape, shape, ids, ids)
    lowered = traced.lower(lowering_platforms=("tpu",))
    return lowered.cost_analysis()["flops"]

  specs = [AttentionSpec("lsh", num_hashes=rounds) for rounds in (1, 2, 4)]
  pairs = np.asarray([attended_pairs(spec, 1024) for spec in specs])
  np.testing.assert_array_equal(pairs, 1024 * 128 * np.asarray([1, 2, 4]))
  for spec, needed in zip(specs, pairs, strict=True):
    # Two products over two heads of 32; XLA counts softmax and joins besides.
    assert 1.0 < xla(spec) / (needed * 2 * 2 * 64) < 1.5

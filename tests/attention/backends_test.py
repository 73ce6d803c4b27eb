import dataclasses
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.attention import backends
from behavior_lm.attention.backends import attend
from behavior_lm.attention.backends import choose_backend
from behavior_lm.attention.backends import describe
from behavior_lm.attention.backends import KERNELS
from behavior_lm.attention.dense import dense_attention
from behavior_lm.attention.dense import segment_mask
from behavior_lm.attention.device import Target
from behavior_lm.attention.hashing import FIXED_SEED
from behavior_lm.attention.masks import global_mask
from behavior_lm.attention.masks import window_mask
from behavior_lm.attention.sliding_window import attend_globally
from behavior_lm.attention.sliding_window import first_tokens
from behavior_lm.attention.spec import AttentionSpec
from tests.attention.comparing import assert_close
from tests.attention.comparing import hash_order
from tests.attention.comparing import values_and_gradients

IDS = jnp.asarray([[1] * 9 + [2] * 20 + [0] * 3])
POSITIONS = jnp.asarray([[*range(9), *range(20), 0, 0, 0]])


def qkv(seed=0):
  return jnp.asarray(
      np.random.default_rng(seed).standard_normal((3, 1, 32, 2, 8)),
      jnp.float32,
  )


def run(spec, query, key, value, **more):
  attend_by = functools.partial(
      attend, segment_ids=IDS, positions=POSITIONS, spec=spec
  )
  return jax.jit(attend_by)(query, key, value, **more)


@pytest.mark.slow
def test_few_queries_are_taken_where_the_kernel_can_and_refused_elsewhere():
  query, key, value = qkv()
  at = jnp.asarray([[4, 11, 30]])
  out = run(AttentionSpec(), query[:, at[0]], key, value, query_at=at)
  want = run(AttentionSpec(), query, key, value)[:, at[0]]
  np.testing.assert_allclose(out, want, atol=1e-6)
  with pytest.raises(ValueError, match="query_at is not taken by 'chunked'"):
    run(AttentionSpec("chunked"), query, key, value, query_at=at)


@pytest.mark.slow
def test_few_queries_are_judged_by_the_whole_rows(monkeypatch):
  # Of this row cuDNN's mask is too large; of three queries it would not be.
  monkeypatch.setattr(backends, "find_target", lambda: GPU)
  monkeypatch.setattr(backends.cudnn, "MOST_MASK_BYTES", 2 * 32 * 32 - 1)
  query, key, value = qkv().astype(jnp.bfloat16)
  assert choose_backend(AttentionSpec(), query[:, :3], GPU) == "cudnn"
  assert backends.takes_few_queries(AttentionSpec(), query)
  at = jnp.asarray([[4, 11, 30]])
  out = run(AttentionSpec(), query[:, at[0]], key, value, query_at=at)
  want = run(AttentionSpec(), query, key, value)[:, at[0]]
  np.testing.assert_array_equal(out, want)


@pytest.mark.slow
def test_a_spec_chooses_the_kernel_and_its_settings():
  dense = lambda mask: dense_attention(*qkv(), mask=mask)
  out = run(AttentionSpec(causal=True), *qkv())
  want = dense(segment_mask(IDS, positions=POSITIONS, causal=True))
  np.testing.assert_allclose(out, want, atol=1e-6)
  spec = AttentionSpec(
      "sliding_window", causal=True, window_size=3, dilation=2, max_globals=4
  )
  mask = window_mask(IDS, 3, dilation=2, causal=True)
  want = dense(mask | global_mask(IDS, first_tokens(IDS), causal=True))
  np.testing.assert_allclose(run(spec, *qkv()), want, atol=1e-5)
  chosen = (IDS != 0) & (jnp.arange(32) % 10 == 2)
  want = dense(mask | global_mask(IDS, chosen, causal=True))
  out = run(spec, *qkv(), global_tokens=chosen)
  np.testing.assert_allclose(out, want, atol=1e-5)


@pytest.mark.slow
def test_projections_of_their_own_reach_the_global_tokens_only():
  spec = AttentionSpec("sliding_window", window_size=3, max_globals=2)
  own = qkv(1)
  offsets = jnp.asarray([[0, 9]])
  query = own[0][:, offsets[0]] * own[0].shape[-1] ** -0.5
  given = attend_globally(query, *own[1:], IDS, offsets)
  plain = run(spec, *qkv())
  out = run(spec, *qkv(), global_outputs=given)
  changed = np.flatnonzero(np.any(plain != out, (0, 2, 3)))
  assert changed.tolist() == [0, 9]
  want = dense_attention(*own, mask=segment_mask(IDS))
  np.testing.assert_allclose(out[0, [0, 9]], want[0, [0, 9]], atol=1e-5)


def run_lsh(spec, query, value, seed=FIXED_SEED):
  order = hash_order(spec, query, IDS, seed)
  return run(spec, query, None, value, order=order)


@pytest.mark.slow
def test_lsh_follows_the_order_that_it_gets():
  spec = AttentionSpec("lsh", chunk_size=4, num_hashes=1)
  query, _, value = qkv()
  first, *drawn = (run_lsh(spec, query, value, seed) for seed in (0, 1, 2))
  np.testing.assert_array_equal(first, run_lsh(spec, query, value))
  assert np.abs(drawn[0] - drawn[1]).max() > 0.01


@pytest.mark.slow
def test_lsh_settings_change_what_it_sees():
  query, _, value = qkv()
  base = dict(kind="lsh", chunk_size=4, num_hashes=2, num_buckets=4)
  first = run_lsh(AttentionSpec(**base), query, value)
  for change in (
      dict(chunk_size=8),
      dict(num_hashes=3),
      dict(num_buckets=(2, 4)),
      dict(num_buckets=None),
      dict(causal=True),
      dict(faithful=True),
  ):
    other = run_lsh(AttentionSpec(**(base | change)), query, value)
    assert np.abs(first - other).max() > 0.01, change


@pytest.mark.parametrize(
    ("spec", "arguments", "message"),
    [
        (AttentionSpec("lsh"), {}, "pass key=None"),
        (AttentionSpec("lsh"), dict(key=None), "'lsh' needs an order"),
        (AttentionSpec(), dict(order=IDS), "'dense' takes no order"),
        (AttentionSpec(), dict(key=None), "needs a key"),
        (AttentionSpec(), dict(global_tokens=IDS > 0), "max_globals"),
    ],
)
def test_an_argument_that_the_kernel_would_ignore_is_an_error(
    spec, arguments, message
):
  query, key, value = qkv()
  with pytest.raises(ValueError, match=message):
    run(spec, **(dict(query=query, key=key, value=value) | arguments))


TPU = Target("tpu")
GPU = Target("cuda", 8, 9.0)
CPU = Target("cpu")
WINDOW = AttentionSpec("sliding_window", window_size=3)
HOLES = AttentionSpec("sliding_window", window_size=3, dilation=2)
GLOBALS = AttentionSpec("sliding_window", window_size=3, max_globals=2)


def query_of(dtype="bfloat16", head_dim=64, batch=1, length=32):
  return jax.ShapeDtypeStruct((batch, length, 2, head_dim), jnp.dtype(dtype))


@pytest.mark.parametrize(
    ("spec", "query", "target", "want"),
    [
        (AttentionSpec(), query_of(), CPU, "xla"),
        (AttentionSpec(), query_of(), TPU, "splash"),
        (AttentionSpec(causal=True), query_of("float32"), TPU, "splash"),
        (AttentionSpec(), query_of(), Target("tpu", 4), "xla"),
        (AttentionSpec(causal=True), query_of(), GPU, "cudnn"),
        (AttentionSpec(), query_of("float32"), GPU, "xla"),
        (AttentionSpec(), query_of(head_dim=20), GPU, "xla"),
        (AttentionSpec(), query_of(length=16_384), GPU, "cudnn"),
        (AttentionSpec(), query_of(batch=3, length=16_384), GPU, "xla"),
        (AttentionSpec(), query_of(), Target("rocm"), "xla"),
        (AttentionSpec(backend="xla"), query_of(), TPU, "xla"),
        (WINDOW, query_of(), TPU, "splash"),
        (WINDOW, query_of(), GPU, "xla"),
        (HOLES, query_of(), TPU, "xla"),
        (GLOBALS, query_of(), TPU, "xla"),
        (AttentionSpec("lsh"), query_of(), TPU, "xla"),
    ],
)
def test_auto_takes_what_serves_the_layer_on_the_device(
    spec, query, target, want
):
  assert choose_backend(spec, query, target) == want
  # What is chosen can be forced.
  forced = dataclasses.replace(spec, backend=want)
  assert choose_backend(forced, query, target) == want


@pytest.mark.parametrize(
    ("spec", "query", "target", "message"),
    [
        (AttentionSpec(backend="cuda"), query_of(), CPU, "no backend 'cuda'"),
        (
            AttentionSpec("lsh", backend="splash"),
            query_of(),
            TPU,
            r"'lsh'; it runs on \['xla'\]",
        ),
        (
            AttentionSpec(backend="splash"),
            query_of(),
            CPU,
            "runs on tpu, and this is cpu; 'xla' can",
        ),
        (
            AttentionSpec(backend="cudnn"),
            query_of("float32"),
            GPU,
            "set dtype='bfloat16'; 'xla' can, and 'auto' takes it",
        ),
        (
            AttentionSpec(backend="cudnn"),
            query_of(batch=8, length=32_768),
            GPU,
            "its mask of 8 rows of 32768 would take 16.0 GB, more than 1",
        ),
        (
            dataclasses.replace(GLOBALS, backend="splash"),
            query_of(),
            TPU,
            "no global tokens",
        ),
        (
            dataclasses.replace(HOLES, backend="splash"),
            query_of(),
            TPU,
            "no holes",
        ),
        (
            AttentionSpec(backend="splash"),
            query_of(),
            Target("tpu", 4),
            "4 devices",
        ),
    ],
)
def test_an_impossible_backend_says_why_and_what_can(
    spec, query, target, message
):
  with pytest.raises(ValueError, match=message):
    choose_backend(spec, query, target)


def test_a_forced_backend_of_another_device_stops_the_layer():
  with pytest.raises(ValueError, match="'splash' cannot run this dense"):
    run(AttentionSpec(backend="splash"), *qkv())


@pytest.mark.slow
@pytest.mark.parametrize("spec", [AttentionSpec(causal=True), WINDOW])
def test_auto_on_a_tpu_is_one_program_for_every_device(monkeypatch, spec):
  """Traced as beside a TPU: a TPU runs Splash, a CPU what it always ran."""
  want = values_and_gradients(functools.partial(run, spec), *qkv())
  monkeypatch.setattr(backends, "find_target", lambda: TPU)
  program = functools.partial(
      attend, segment_ids=IDS, positions=POSITIONS, spec=spec
  )
  assert_close(values_and_gradients(program, *qkv()), want, 1e-6)

  @jax.jit
  def both(query, key, value):
    out, pull = jax.vjp(program, query, key, value)
    return pull(out)

  traced = both.trace(*qkv())
  text = lambda platform: (
      traced.lower(lowering_platforms=(platform,)).as_text()
  )
  assert "tpu_custom_call" in text("tpu")
  assert "tpu_custom_call" not in text("cpu")
  # XLA's scores [1, 2, 32, 32] have no place in the TPU's program.
  assert "32x32xf32" not in text("tpu")


def test_a_program_that_is_to_last_can_have_xla_only(monkeypatch):
  want = run(AttentionSpec(), *qkv())
  monkeypatch.setattr(backends, "find_target", lambda: TPU)
  program = jax.jit(
      functools.partial(
          attend,
          segment_ids=IDS,
          positions=POSITIONS,
          spec=AttentionSpec(backend="xla"),
      )
  )
  exported = jax.export.export(program, platforms=["tpu"])(*qkv())
  assert "custom_call" not in exported.mlir_module()
  # On CPU products ask for layouts, which is XLA's own call.
  layouts = jax.export.DisabledSafetyCheck.custom_call("LayoutConstraint")
  exported = jax.export.export(
      program, platforms=["cpu"], disabled_checks=[layouts]
  )(*qkv())
  np.testing.assert_allclose(exported.call(*qkv()), want, atol=1e-6)


def test_the_page_shows_the_table():
  page = Path(__file__).parents[2] / "docs" / "attention.md"
  assert describe() in page.read_text()
  count = sum(map(len, KERNELS.values()))
  assert len(describe().splitlines()) == count + 2
  assert all(list(kernels)[-1] == "xla" for kernels in KERNELS.values())

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.data.pipeline import BatchSpec
from behavior_lm.data.pipeline import make_loader
from behavior_lm.models import MODELS
from tests.data.windows_test import windows_of

LENGTH, VOCAB = 32, 60
FIELDS = ("tokens", "positions", "segment_ids", "time_gaps")


def bert(**options):
  model, config = MODELS["bert"]
  values = dict(
      vocab_size=VOCAB,
      num_layers=2,
      embed_dim=16,
      num_heads=2,
      mlp_dim=32,
      max_length=LENGTH,
      max_segments=8,
  )
  return model(config(**values | options), rngs=nnx.Rngs(0))


def batches(pack):
  lengths = [5, 9, 3, 22, 31, 1, 14]
  windows = windows_of(lengths, max_length=LENGTH)
  spec = BatchSpec(2, LENGTH, max_segments=8, pack=pack, prefetch=0)
  for batch in make_loader(
      windows, spec, num_epochs=1, drop_remainder=False
  ):
    yield {name: jnp.asarray(batch[name]) for name in FIELDS}


def hidden_by_sequence(model, pack):
  """tokens of a sequence -> its hidden states and its pooled vector."""
  found = {}
  for batch in batches(pack):
    out = model(batch)
    for row, ids in enumerate(np.asarray(batch["segment_ids"])):
      for segment in range(1, ids.max() + 1):
        inside = ids == segment
        name = tuple(np.asarray(batch["tokens"])[row, inside].tolist())
        found[name] = (
            np.asarray(out["hidden"])[row, inside],
            np.asarray(out["pooled"])[row, segment - 1],
        )
  return found


@pytest.mark.parametrize("time_encoding", ["none", "bucket", "gate"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"causal": True},
        {"position_encoding": "rotary", "norm_position": "pre"},
        {"position_encoding": "sinusoid"},
    ],
    ids=str,
)
def test_packed_and_unpacked_sequences_have_the_same_hidden_states(
    time_encoding, options
):
  model = bert(time_encoding=time_encoding, **options)
  packed = hidden_by_sequence(model, pack=True)
  alone = hidden_by_sequence(model, pack=False)
  assert packed.keys() == alone.keys() and len(packed) == 7
  for name, (hidden, pooled) in packed.items():
    np.testing.assert_allclose(hidden, alone[name][0], atol=1e-5)
    np.testing.assert_allclose(pooled, alone[name][1], atol=1e-5)
    np.testing.assert_array_equal(pooled, hidden[0])


def one_row(**changes):
  rng = np.random.default_rng(0)
  batch = {
      "tokens": rng.integers(5, VOCAB, (1, LENGTH)),
      "positions": np.arange(LENGTH)[None],
      "segment_ids": np.ones((1, LENGTH), int),
      "time_gaps": rng.integers(0, 50, (1, LENGTH)),
  }
  return {k: jnp.asarray(v, jnp.int32) for k, v in (batch | changes).items()}


def test_parameters_number_as_the_paper_counts_them():
  base = MODELS["bert"][1](
      vocab_size=30_522,
      num_layers=12,
      embed_dim=768,
      num_heads=12,
      mlp_dim=3072,
      max_length=512,
      time_encoding="none",
  )
  shapes = nnx.eval_shape(lambda: MODELS["bert"][0](base, rngs=nnx.Rngs(0)))
  count = sum(x.size for x in jax.tree.leaves(nnx.state(shapes, nnx.Param)))
  # BERT base has 109,482,240 with pooler (590,592) and segment types (1,536),
  # without its head: dense 590,592, norm 1,536, bias 30,522.
  assert count == 109_482_240 - 590_592 - 1_536 + 590_592 + 1_536 + 30_522


@pytest.mark.parametrize(
    "field", ["time_encoding", "position_encoding", "norm_position"]
)
def test_an_unknown_choice_is_an_error_that_names_it(field):
  with pytest.raises(ValueError, match="'sundial'; known are"):
    bert(**{field: "sundial"})


@pytest.mark.parametrize("position_encoding", ["learned", "sinusoid", "rotary"])
def test_every_position_encoding_knows_the_order(position_encoding):
  model = bert(position_encoding=position_encoding)
  batch = one_row()
  swapped = jnp.concatenate(
      [batch["tokens"][:, 1:2], batch["tokens"][:, :1], batch["tokens"][:, 2:]],
      axis=1,
  )
  before = model(batch)["hidden"][0, 10:]
  after = model(dict(batch, tokens=swapped))["hidden"][0, 10:]
  assert not np.allclose(before, after, atol=1e-5)


def test_a_width_that_heads_do_not_divide_is_an_error():
  with pytest.raises(ValueError, match="not divisible"):
    bert(num_heads=3)

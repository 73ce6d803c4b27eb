import functools

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.models.encoders import ENCODERS
from behavior_lm.models.language_model import LanguageModel
from tests.models.encoders.encoder_test import compiled
from tests.models.encoders.encoder_test import full_rows
from tests.models.encoders.encoder_test import hidden_by_sequence
from tests.models.encoders.encoder_test import make
from tests.models.encoders.encoder_test import VOCAB

bert = functools.partial(make, "bert")


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"time_encoding": "none"},
        {"position_encoding": "rotary", "norm_position": "pre"},
        {"position_encoding": "sinusoid", "causal": True},
    ],
    ids=str,
)
def test_packed_and_unpacked_sequences_have_the_same_hidden_states(options):
  encode = compiled("bert", **options)
  packed = hidden_by_sequence(encode, pack=True)
  alone = hidden_by_sequence(encode, pack=False)
  assert packed.keys() == alone.keys() and len(packed) == 7
  for name, hidden in packed.items():
    np.testing.assert_allclose(hidden, alone[name], atol=1e-5)


def test_parameters_number_as_the_paper_counts_them():
  base = ENCODERS["bert"][1](
      vocab_size=30_522,
      num_layers=12,
      embed_dim=768,
      num_heads=12,
      mlp_dim=3072,
      max_length=512,
      time_encoding="none",
  )
  shapes = nnx.eval_shape(
      lambda: LanguageModel("bert", base, rngs=nnx.Rngs(0))
  )
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


@pytest.mark.slow
@pytest.mark.parametrize("position_encoding", ["learned", "sinusoid", "rotary"])
def test_every_position_encoding_knows_the_order(position_encoding):
  model = bert(position_encoding=position_encoding)
  batch = full_rows()
  swapped = jnp.concatenate(
      [batch["tokens"][:, 1:2], batch["tokens"][:, :1], batch["tokens"][:, 2:]],
      axis=1,
  )
  before = model.encode(batch)[0, 10:]
  after = model.encode(dict(batch, tokens=swapped))[0, 10:]
  assert not np.allclose(before, after, atol=1e-5)


def test_a_width_that_heads_do_not_divide_is_an_error():
  with pytest.raises(ValueError, match="not divisible"):
    bert(num_heads=3)


@pytest.mark.slow
def test_frequent_rows_of_tables_learn_in_bfloat16_as_in_float32():
  """Sums of thousands of numbers: in bfloat16 they stop growing at 256."""
  rng = np.random.default_rng(0)
  shape = (8, 512)
  others = rng.integers(5, VOCAB, shape)
  batch = {
      # Half of all tokens are one token.
      "tokens": np.where(rng.random(shape) < 0.5, 7, others),
      "positions": np.broadcast_to(np.arange(512), shape),
      "segment_ids": np.ones(shape),
      "time_gaps": rng.integers(0, 3, shape),
      "hour": rng.integers(0, 2, shape),
  }
  batch = {name: jnp.asarray(x, jnp.int32) for name, x in batch.items()}

  @nnx.jit
  def gradients(embed):
    def loss(embed):
      names = ("tokens", "positions", "time_gaps", "segment_ids")
      out = embed(
          *(batch[name] for name in names),
          {"hour": batch["hour"]},
          deterministic=True,
          rngs=None,
      )
      return (out.astype(jnp.float32) * jnp.linspace(0, 1, 16)).sum()

    return nnx.grad(loss)(embed)

  options = dict(
      time_encoding="bucket", features=(("hour", 24),), max_length=512
  )
  got, want = (
      gradients(make("bert", dtype=dtype, **options).embed)
      for dtype in ("bfloat16", "float32")
  )
  paths = jax.tree_util.tree_leaves_with_path(want)
  for (path, b), a in zip(paths, jax.tree.leaves(got), strict=True):
    assert a.dtype == jnp.float32
    error = np.linalg.norm(a - b) / np.linalg.norm(b)
    assert error < 0.01, jax.tree_util.keystr(path)

import functools

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.models.encoders import ENCODERS
from behavior_lm.models.language_model import LanguageModel
from tests.models.encoders.encoder_test import compiled
from tests.models.encoders.encoder_test import hidden_by_sequence
from tests.models.encoders.encoder_test import make
from tests.models.encoders.encoder_test import one_row

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
  batch = one_row()
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

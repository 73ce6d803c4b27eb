from flax import nnx
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.encoders.encoder_test import count_parameters
from tests.models.encoders.encoder_test import full_rows
from tests.models.encoders.encoder_test import make
from tests.models.encoders.encoder_test import POOLER


def test_longformer_has_as_many_parameters_as_its_authors_published():
  # longformer-base-4096: 148,659,456 with pooler and one segment type.
  head = 768 * 768 + 768 + 2 * 768 + 50_265
  want = 148_659_456 - POOLER - 768 + head
  got = count_parameters("longformer", vocab_size=50_265, max_length=4_098)
  assert got == want


@pytest.mark.slow
def test_gradients_of_global_projections_are_not_rounded():
  """In bfloat16 too, whether keys are made or few queries meet the states."""
  batch = full_rows()
  for max_segments in (2, 32):
    model = make("longformer", dtype="bfloat16", max_segments=max_segments)
    attention = model.layers[0].attention
    assert attention.folds_globals == (max_segments == 2)
    # Normed states sum to a constant: uneven slopes.
    loss = lambda model: (model.encode(batch)[:, 0] * jnp.arange(16)).sum()
    grads = nnx.grad(loss)(model)
    found = grads.layers[0].attention.global_key_value.kernel[...]
    assert found.dtype == jnp.float32
    # bfloat16 numbers have zeros in their last 16 bits.
    bits = np.asarray(found).view(np.uint32)
    assert np.any(bits & 0xFFFF)

import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.inference.embedder import Embedder
from behavior_lm.inference.explain.time_gates import token_gates
from behavior_lm.logs import schema
from tests.inference.fake_runs import make_run


@pytest.mark.slow
def test_a_gate_is_read_from_the_vector_of_its_token(tmp_path):
  run = make_run(tmp_path / "run", num_layers=1, time_encoding="gate")
  embedder = Embedder.load(run)
  found = token_gates(embedder)
  assert found.height == embedder.tokenizer.vocab_size - schema.NUM_SPECIAL
  assert found["gate"].is_sorted(descending=True)
  embed = embedder.run.model.encoder.embed
  name = found["token"][0]
  row = embed.token.embedding[...][embedder.tokenizer.tokens.index(name)]
  gate = embed.time.gate
  want = 1 / (1 + np.exp(-(row @ gate.kernel[...] + gate.bias[...])))
  np.testing.assert_allclose(found["gate"][0], want.mean(), rtol=1e-5)
  np.testing.assert_allclose(found["high"][0], want.max(), rtol=1e-5)
  # What the layer adds for a gap of which the bank is known: 0 has sines of 0
  # and cosines of 1.
  added = embed.time(row[None, None], jnp.zeros((1, 1), int))[0, 0] - row
  half = len(row) // 2
  np.testing.assert_allclose(added[half:], want[half:], rtol=1e-4)


@pytest.mark.slow
def test_a_model_without_a_gate_is_refused(tmp_path):
  run = make_run(tmp_path / "run", num_layers=1, time_encoding="bucket")
  with pytest.raises(UserError, match="'bucket', which has no gate"):
    token_gates(Embedder.load(run))

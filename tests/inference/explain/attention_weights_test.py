import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.inference.embedder import Embedder
from behavior_lm.inference.explain.attention_weights import attention_weights
from tests.inference.fake_runs import make_run

HISTORY = ["login", "fight", "shop", "fight", "logout"] * 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("bert", {}),
        (
            "longformer",
            dict(window_size=2, time_encoding="bucket+attention_bias"),
        ),
        ("reformer", dict(attention_layers=("local", "lsh"), window_size=2)),
    ],
)
def test_each_token_shares_itself_out_among_those_it_sees(
    tmp_path, name, settings
):
  run = make_run(tmp_path / "run", name=name, **settings)
  embedder = Embedder.load(run)
  found = attention_weights(embedder, HISTORY, 1)
  assert found.tokens[0] == "[CLS]" and len(found.tokens) == 16
  assert found.weights.shape == (2, 16, 16)
  np.testing.assert_allclose(found.weights.sum(-1), 1, atol=1e-5)
  steps = np.abs(np.subtract.outer(np.arange(16), np.arange(16)))
  far = found.weights[:, steps > 2]
  # The first token is global in Longformer.
  inner = found.weights[:, 1:, 1:][:, steps[1:, 1:] > 2]
  assert (far > 0).all() == (name == "bert")
  assert (inner == 0).all() == (name != "bert")
  assert (found.weights[:, 0, 3:] > 0).all() == (name != "reformer")
  last = attention_weights(embedder, HISTORY)
  np.testing.assert_allclose(last.weights.sum(-1), 1, atol=1e-5)
  assert np.abs(last.weights - found.weights).max() > 1e-3


def test_embeddings_attend_to_nothing():
  class Two:
    num_layers = 2
    layer_number = Embedder.layer_number

  with pytest.raises(UserError, match="layer 0"):
    attention_weights(Two(), HISTORY, 0)

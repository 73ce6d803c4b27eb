import numpy as np
import pytest

from behavior_lm.interop import reformer
from tests.peers import peers_python
from tests.peers import REPO

SMALL = dict(
    vocab_size=40,
    hidden_size=16,
    num_attention_heads=2,
    attention_head_size=8,
    feed_forward_size=24,
    local_attn_chunk_length=8,
    lsh_attn_chunk_length=8,
    max_position_embeddings=64,
    num_hashes=2,
    num_buckets=4,
    hidden_act="gelu",
)


@pytest.mark.slow
def test_rows_are_close_for_every_mix_and_length():
  rows = reformer.reformer_rows(
      peers_python(), REPO / "peers" / "reformer_outputs.py", SMALL, [5, 30]
  )
  assert len(rows) == 2 * len(reformer.MIXES)
  assert {row["length"] for row in rows} == {5, 30}
  for row in rows:
    # Rounding, and not the same program: nothing is compared with itself.
    assert 0 < row["hidden"] < 1e-4, row


def test_a_weight_without_a_place_is_an_error():
  model = reformer.our_model(SMALL | {"attn_layers": []})
  arrays = {
      "tokens": np.zeros((1, 2)),
      "embeddings.word_embeddings.weight": np.ones((40, 16)),
      "embeddings.position_embeddings.embedding.weight": np.ones((64, 16)),
      "encoder.layer_norm.weight": np.full(32, 3.0),
      "encoder.layer_norm.bias": np.ones(32),
  }
  reformer.fill(model, arrays)
  assert (np.asarray(model.streams_norm.scale[...]) == 3).all()
  with pytest.raises(ValueError, match="place here: .'encoder.wings'"):
    reformer.fill(model, arrays | {"encoder.wings": np.ones(2)})

import jax
import numpy as np
import pytest

from behavior_lm.training.state import split_model
from experiments.studies.parity import reformer
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


@pytest.mark.slow
def test_a_weight_without_a_place_is_an_error():
  model = reformer.our_model(SMALL | {"attn_layers": ["local"]})
  layer = "encoder.layers.0."
  within = f"{layer}attention.self_attention."
  forward = f"{layer}feed_forward."
  shapes = {
      "embeddings.word_embeddings.weight": (40, 16),
      "embeddings.position_embeddings.embedding.weight": (64, 16),
      **{f"{within}{n}.weight": (16, 16) for n in ("query", "key", "value")},
      f"{layer}attention.output.dense.weight": (16, 16),
      f"{forward}dense.dense.weight": (24, 16),
      f"{forward}dense.dense.bias": (24,),
      f"{forward}output.dense.weight": (16, 24),
      f"{forward}output.dense.bias": (16,),
  }
  for norm, width in {
      f"{layer}attention.layer_norm": 16,
      f"{forward}layer_norm": 16,
      "encoder.layer_norm": 32,
  }.items():
    shapes |= {f"{norm}.weight": (width,), f"{norm}.bias": (width,)}
  arrays = {name: np.full(shape, 3.0) for name, shape in shapes.items()}
  reformer.fill(model, arrays)
  leaves = jax.tree.leaves(split_model(model)[1])
  filled = sum((np.asarray(leaf) == 3).all() for leaf in leaves)
  # Three projections are one array here; the join is ours.
  assert filled == len(shapes) - 2
  with pytest.raises(ValueError, match="place here: .'encoder.wings'"):
    reformer.fill(model, arrays | {"encoder.wings": np.ones(2)})

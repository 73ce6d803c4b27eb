"""The same weights and inputs in transformers' Reformer and in ours."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from experiments.studies.parity.reformer import our_outputs
from tests.peers import run_peer

WIDTH, HEADS, CHUNK, VOCAB = 32, 2, 16, 50
SHARED = dict(
    hidden_size=WIDTH,
    num_attention_heads=HEADS,
    attention_head_size=WIDTH // HEADS,
    feed_forward_size=64,
    local_attn_chunk_length=CHUNK,
    lsh_attn_chunk_length=CHUNK,
    max_position_embeddings=512,
    num_hashes=2,
    num_buckets=8,
    vocab_size=VOCAB,
    hidden_act="gelu",
)
LOCAL, HASHED, MIXED = ["local"], ["lsh"], ["local", "lsh", "local", "lsh"]
CASES = {
    "local_16": dict(attn_layers=LOCAL, length=16, real=9),
    "local_32": dict(attn_layers=LOCAL, length=32, real=32),
    "local_250": dict(attn_layers=LOCAL, length=250, real=170),
    "local_causal": dict(
        attn_layers=LOCAL, length=128, real=128, is_decoder=True
    ),
    "lsh_10": dict(attn_layers=HASHED, length=10, real=10),
    "lsh_128": dict(attn_layers=HASHED, length=128, real=128),
    "lsh_250": dict(attn_layers=HASHED, length=250, real=201, num_hashes=3),
    "lsh_two_factors": dict(
        attn_layers=HASHED, length=512, real=512, num_buckets=[4, 8]
    ),
    # Causal with one round: theirs joins rounds by a logsumexp of float32s near
    # -1e5, which scales a token that sees only itself by up to 0.4 %.
    "lsh_causal": dict(
        attn_layers=HASHED,
        length=192,
        real=150,
        is_decoder=True,
        num_hashes=1,
    ),
    "model_48": dict(attn_layers=MIXED, length=48, real=48),
    "model_500": dict(attn_layers=MIXED, length=500, real=333, num_hashes=4),
    "model_causal": dict(
        attn_layers=MIXED,
        length=256,
        real=256,
        is_decoder=True,
        num_hashes=1,
    ),
}


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
  folder = tmp_path_factory.mktemp("reformer")
  cases = {name: SHARED | case for name, case in CASES.items()}
  (folder / "cases.json").write_text(json.dumps(cases))
  run_peer("reformer_outputs", folder / "cases.json", folder)
  return {name: load_file(folder / f"{name}.safetensors") for name in CASES}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_outputs_are_those_of_transformers(name, theirs):
  arrays = theirs[name]
  real = arrays["mask"] != 0
  got = our_outputs(SHARED | CASES[name], arrays)
  want = arrays["last_hidden_state"]
  np.testing.assert_allclose(got[real], want[real], atol=1e-4)

"""The originals as judges: same weights, same inputs, same outputs."""

import json

import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.interop.huggingface import read_huggingface
from behavior_lm.interop.huggingface import write_huggingface
from experiments.studies.parity import parity
from tests.interop.huggingface_test import EVERY_MODEL
from tests.interop.huggingface_test import leaves
from tests.interop.huggingface_test import same
from tests.interop.huggingface_test import weights
from tests.interop.models import make
from tests.interop.models import their_config
from tests.peers import peers_python
from tests.peers import REPO

PROGRAM = REPO / "peers" / "encoder_outputs.py"
# 1, multiples of Longformer's largest window (8), their neighbours, the most.
LENGTHS = (1, 5, 8, 24, 25, 47, 48)
CLOSE = 1e-4


def peer(*args):
  return parity.run_peer(peers_python(), PROGRAM, *args)


def check(folder, model, pad_id, scratch, outputs, close=CLOSE):
  """Compares our model with what transformers makes of the folder."""
  cases = parity.make_cases(LENGTHS, vocab_size=61, pad_id=pad_id)
  theirs = parity.their_outputs(
      peers_python(), PROGRAM, folder, cases, scratch=scratch
  )
  ours = parity.our_outputs(model, cases)
  found = parity.largest_differences(cases, ours, theirs)
  for case, values in found.items():
    assert set(values) == outputs, case
    assert all(value < close for value in values.values()), (case, values)
  # Outputs that differ between tokens, so that agreeing means something.
  hidden = theirs["48"]["hidden"]
  assert hidden.std(axis=1).min() > 0.01 and np.isfinite(hidden).all()


@pytest.mark.slow
@EVERY_MODEL
def test_their_model_computes_the_same_here(tmp_path, name):
  config = their_config(name)
  peer("create", tmp_path / "theirs", json.dumps(config), 7)
  found = read_huggingface(tmp_path / "theirs")
  assert found.has_head and found.config.num_token_types == 2
  assert found.pad_id == (1 if name == "longformer" else 0)
  check(
      tmp_path / "theirs",
      found.model,
      found.pad_id,
      tmp_path,
      {"hidden", "logits"},
  )
  # And back: every tensor that is used, bit by bit.
  write_huggingface(tmp_path / "again", found.model, pad_id=found.pad_id)
  before, after = weights(tmp_path / "theirs"), weights(tmp_path / "again")
  if name == "longformer":
    key = "longformer.embeddings.position_embeddings.weight"
    assert not after[key][:2].any()
    before[key][:2] = 0
  assert same(after, {key: before[key] for key in after})
  left = before.keys() - after.keys()
  assert left <= set(found.unused) | {"cls.predictions.decoder.bias"}


@pytest.mark.slow
@EVERY_MODEL
def test_our_model_computes_the_same_there(tmp_path, name):
  model = make(name)
  write_huggingface(tmp_path / "ours", model)
  check(tmp_path / "ours", model, 0, tmp_path, {"hidden", "logits"})
  # Through transformers and back from disk.
  peer("resave", tmp_path / "ours", tmp_path / "resaved")
  back = read_huggingface(tmp_path / "resaved")
  assert same(leaves(back.model), leaves(model))
  assert back.config == model.config


@pytest.mark.slow
def test_an_encoder_alone_computes_the_same(tmp_path):
  config = json.dumps(their_config("bert", head=False))
  peer("create", tmp_path / "theirs", config, 3)
  found = read_huggingface(tmp_path / "theirs")
  assert not found.has_head
  assert any("pooler" in text for text in found.unused)
  check(
      tmp_path / "theirs", found.model, found.pad_id, tmp_path, {"hidden"}
  )


@pytest.mark.slow
def test_a_difference_would_be_seen(tmp_path):
  model = make("longformer")
  write_huggingface(tmp_path / "ours", model)
  wider = make("longformer", window_size=(4, 3, 4))
  with pytest.raises(AssertionError, match="hidden"):
    check(tmp_path / "ours", wider, 0, tmp_path, {"hidden", "logits"})


@pytest.mark.slow
def test_shards_that_transformers_writes_are_read(tmp_path):
  model = make("bert")
  write_huggingface(tmp_path / "ours", model)
  peer("resave", tmp_path / "ours", tmp_path / "cut", "20KB")
  assert len(list((tmp_path / "cut").glob("*.safetensors"))) > 2
  assert same(leaves(read_huggingface(tmp_path / "cut").model), leaves(model))


def test_cases_are_full_and_padded_rows_without_the_padding_id_inside():
  cases = parity.make_cases([1, 9], vocab_size=5, pad_id=1, batch_size=40)
  for name, arrays in cases.items():
    tokens, mask = arrays["tokens"], arrays["mask"].astype(bool)
    assert tokens.shape == mask.shape == (40, int(name))
    assert mask[0].all() and mask[:, 0].all()
    assert (tokens[~mask] == 1).all() and (tokens[mask] != 1).all()
    assert set(tokens[mask]) == {0, 2, 3, 4}
  assert not cases["9"]["mask"].all()


def test_the_largest_difference_is_one_at_a_real_token():
  mask = np.asarray([[1, 1, 0]])
  cases = {"3": {"tokens": mask, "mask": mask}}
  ours = {"3": {"hidden": np.zeros((1, 3, 2)), "logits": np.ones((1, 3, 2))}}
  theirs = {"3": {"hidden": np.asarray([[[0, 0.5], [-2, 1], [9, 9]]])}}
  found = parity.largest_differences(cases, ours, theirs)
  assert found == {"3": {"hidden": 2.0}}


def test_a_peer_that_fails_says_why(tmp_path):
  program = tmp_path / "peer.py"
  program.write_text("raise SystemExit('no such model')")
  with pytest.raises(UserError, match="peer.py run ended with 1: no such mod"):
    parity.run_peer("python3", program, "run")


def test_weights_that_found_no_place_there_are_an_error(tmp_path):
  program = tmp_path / "peer.py"
  program.write_text("print('{\"missing_keys\": [\"a.weight\"]}')")
  cases = parity.make_cases([2], vocab_size=5, pad_id=0)
  with pytest.raises(UserError, match="missing_keys.*a.weight"):
    parity.their_outputs(
        "python3", program, tmp_path, cases, scratch=tmp_path
    )


MINILM = REPO / "runs" / "minilm"


@pytest.mark.slow
def test_minilm_computes_the_same_here(tmp_path):
  folders = sorted(MINILM.glob("**/model.safetensors"))
  if not folders:
    pytest.skip("no MiniLM: the command is in docs/interop.md")
  folder = folders[0].parent
  found = read_huggingface(folder)
  assert not found.has_head
  assert "embeddings.position_ids" in found.unused
  cases = parity.make_cases(
      [7, 128, 512], vocab_size=30_522, pad_id=0, batch_size=2
  )
  theirs = parity.their_outputs(
      peers_python(), PROGRAM, folder, cases, scratch=tmp_path
  )
  ours = parity.our_outputs(found.model, cases)
  found = parity.largest_differences(cases, ours, theirs)
  assert all(values["hidden"] < CLOSE for values in found.values()), found

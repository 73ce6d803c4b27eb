from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.inference.futures import advance
from behavior_lm.inference.futures import Futures
from behavior_lm.layers.heads import logits
from behavior_lm.models.encoders import ENCODERS
from behavior_lm.models.language_model import LanguageModel
from behavior_lm.recipes.shared.loading import load_run
from tests.inference.fake_runs import make_run

VOCAB, LENGTH = 30, 12
MODELS = {
    "bert": {"position_encoding": "learned", "time_encoding": "gate"},
    "albert": {"embedding_dim": 8, "time_encoding": "bucket"},
    "ligr": {"position_encoding": "rotary", "norm_position": "pre"},
    "modern": {"window_size": 3, "num_layers": 3, "ngram_order": 3},
}


def make(name):
  sizes = dict(
      vocab_size=VOCAB, num_layers=2, embed_dim=16, num_heads=2, mlp_dim=32,
      max_length=LENGTH, causal=True,
  )
  config = ENCODERS[name][1](**sizes | MODELS[name])
  model = LanguageModel(name, config, gap_components=4, rngs=nnx.Rngs(0))
  # Tables of n-grams are 0 at first, and would be tested by nothing.
  graphdef, params = nnx.split(model)
  rng = np.random.default_rng(0)
  noise = lambda x: x + 0.1 * rng.normal(size=x.shape).astype(np.float32)
  return nnx.merge(graphdef, jax.tree.map(noise, params))


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_tokens_one_by_one_give_what_the_whole_row_gives(name):
  model = make(name)
  rng = np.random.default_rng(1)
  tokens = rng.integers(5, VOCAB, (2, LENGTH)).astype(np.int32)
  gaps = rng.integers(-1, 500, (2, LENGTH)).astype(np.int32)
  positions = np.broadcast_to(np.arange(LENGTH, dtype=np.int32), tokens.shape)
  whole = jax.jit(model)({
      "tokens": tokens,
      "time_gaps": gaps,
      "positions": positions,
      "segment_ids": np.ones_like(tokens),
  })
  want = np.asarray(logits(whole))
  encoder = model.encoder
  caches = [
      encoder.layers[n % len(encoder.layers)].attention.make_cache(2, LENGTH)
      for n in range(encoder.config.num_layers)
  ]
  step = jax.jit(lambda place, caches: advance(
      model, tokens, gaps, place, caches
  ))
  for place in range(LENGTH):
    head, caches = step(jnp.int32(place), caches)
    np.testing.assert_allclose(logits(head)[:, 0], want[:, place], atol=2e-5)
    np.testing.assert_allclose(
        head["gap_mixture"][:, 0], whole["gap_mixture"][:, place], atol=2e-5
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  return make_run(
      tmp_path_factory.mktemp("causal") / "run",
      max_length=8,
      causal=True,
      time_encoding="none",
      position_encoding="rotary",
  )


@pytest.mark.slow
def test_the_likeliest_future_is_that_of_the_model(run):
  futures = Futures.load(run)
  found = futures.sample(["login", "fight", "shop"], 3, temperature=1e-4)
  loaded = load_run(run)
  alphabet = loaded.tokenizer.alphabet
  read = futures.reader.read(["login", "fight", "shop"], "history")
  row = [3, *read["tokens"].tolist()]
  model = jax.jit(lambda batch: logits(loaded.model(batch)))
  for event in found["event_id"]:
    # One length for one program: a causal model does not see the zeros.
    tokens = np.zeros((1, 8), np.int32)
    tokens[0, : len(row)] = row
    scores = model({
        "tokens": tokens,
        "time_gaps": np.full_like(tokens, -1),
        "positions": np.arange(8, dtype=np.int32)[None],
        "segment_ids": np.ones_like(tokens),
    })
    token = int(np.asarray(scores)[0, len(row) - 1, 5:].argmax()) + 5
    assert event == alphabet.ids(token - 5)[0]
    row.append(token)


@pytest.mark.slow
def test_futures_are_longer_than_the_window_and_the_same_for_a_seed(run):
  futures = Futures.load(run)
  draw = lambda seed: futures.sample(
      ["login"] * 20, 11, num_samples=5, seed=seed
  )
  found = draw(0)
  assert found.shape == (55, 5) and found["place"].max() == 10
  assert found["event_id"].null_count() == 0
  # This model predicts no gaps.
  assert found["gap_seconds"].null_count() == 55
  assert found.equals(draw(0)) and not found.equals(draw(1))


@pytest.mark.slow
def test_what_cannot_be_sampled_is_named(run, tmp_path):
  with pytest.raises(UserError, match="is not causal"):
    Futures.load(make_run(tmp_path / "masked"))
  longformer = make_run(tmp_path / "far", causal=True, name="longformer")
  with pytest.raises(UserError, match="longformer"):
    Futures.load(longformer)
  with pytest.raises(UserError, match="temperature 0"):
    Futures.load(run).sample(["login"], 2, temperature=0)

import datetime
import subprocess
import sys
import tracemalloc

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.inference.batching import bucket_lengths
from behavior_lm.inference.embedder import Embedder
from behavior_lm.inference.pooling import POOLINGS
from tests.inference.fake_runs import expected_vector
from tests.inference.fake_runs import make_run
from tests.inference.fake_runs import random_sequences

LENGTHS = [1, 3, 30, 31, 32, 62, 63, 64, 200, 3000]


@pytest.fixture(scope="module")
def embedder(tmp_path_factory):
  return Embedder.load(make_run(tmp_path_factory.mktemp("run")))


@pytest.fixture(scope="module")
def everyone(embedder):
  """Sequences and their vectors, encoded together."""
  lengths = [1 + (i * 37) % 150 for i in range(60)] + LENGTHS
  sequences = random_sequences(lengths)
  return sequences, embedder.encode(sequences)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pooling", "layer"),
    # History tokens are of models that know them: see
    # tests/recipes/train_objectives_test.py.
    [*((name, 2) for name in POOLINGS if name != "history"), ("mean", 0)],
)
def test_vectors_are_the_pooled_hidden_states_of_the_packed_model(
    embedder, pooling, layer
):
  sequences = random_sequences(LENGTHS if layer == 2 else LENGTHS[:-1])
  got = embedder.encode(sequences, pooling, layer)
  assert got.dtype == np.float32 and got.shape == (len(sequences), 16)
  for sequence, vector in zip(sequences, got, strict=True):
    want = expected_vector(embedder, sequence, pooling, layer)
    np.testing.assert_allclose(vector, want, atol=1e-5)


@pytest.mark.slow
def test_the_first_token_of_a_causal_model_is_no_vector(tmp_path):
  embedder = Embedder.load(make_run(tmp_path))
  embedder.config.model.causal = True
  with pytest.raises(UserError, match="'cls': this model is causal.*'last'"):
    embedder.encode(random_sequences([3]), "cls")


@pytest.mark.slow
@settings(max_examples=6)
@given(
    chosen=st.lists(st.integers(0, 68), min_size=1, max_size=20),
    batch_size=st.sampled_from([1, 256]),
)
def test_a_vector_does_not_depend_on_its_neighbours_or_the_batch(
    embedder, everyone, chosen, batch_size
):
  sequences, vectors = everyone
  got = embedder.encode([sequences[i] for i in chosen], batch_size=batch_size)
  np.testing.assert_allclose(got, vectors[chosen], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["cls", "max", "last"])
def test_other_poolings_do_not_depend_on_the_batch_either(embedder, pooling):
  sequences = random_sequences([5, 7, 40])
  together = embedder.encode(sequences, pooling)
  alone = [embedder.encode([s], pooling, batch_size=2)[0] for s in sequences]
  np.testing.assert_allclose(together, alone, atol=1e-5)


def test_different_sequences_have_different_vectors(everyone):
  _, vectors = everyone
  distance = np.abs(vectors[:, None] - vectors[None]).max(-1)
  np.fill_diagonal(distance, 1)
  assert distance.min() > 1e-3


@pytest.mark.slow
def test_few_programs_serve_all_lengths(tmp_path):
  embedder = Embedder.load(make_run(tmp_path, num_layers=1))
  embedder.encode(random_sequences(range(1, 120)), batch_size=4)
  embedder.encode(random_sequences([1000, 2, 50]), batch_size=4)
  program = embedder._program(1, "mean")
  assert program._cache_size() == len(bucket_lengths(32)) <= 4


def test_layers_count_from_both_ends(embedder):
  sequences = random_sequences([9])
  encode = lambda layer: embedder.encode(sequences, layer=layer)
  np.testing.assert_array_equal(encode(None), encode(2))
  np.testing.assert_array_equal(encode(-1), encode(2))
  np.testing.assert_array_equal(encode(-3), encode(0))
  assert not np.allclose(encode(-2), encode(-1))
  for layer in (3, -4, 1.5, "top"):
    with pytest.raises(UserError, match="the model has 2, so choose 0"):
      encode(layer)


def test_every_form_of_a_sequence_gives_the_same_vector(embedder):
  events = ["login", "fight", "fight", "shop"]
  designs = ["0", "3", "7", "0"]
  start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
  moments = [start + datetime.timedelta(seconds=3 * i) for i in range(4)]
  naive = np.array([m.replace(tzinfo=None) for m in moments], "datetime64[ms]")
  numbers = naive.astype("datetime64[us]").astype(np.int64)
  form = lambda e, d, t: {"event_id": e, "design_id": d, "timestamp": t}
  frame = pl.DataFrame({"user_id": "u", **form(events, designs, moments)})
  vectors = embedder.encode([
      form(events, designs, moments),
      form(tuple(events), tuple(designs), naive.tolist()),
      form(np.array(events), np.array(designs), naive),
      form(np.array(events, object), designs, numbers),
      form(events, np.array([0, 3, 7, 0]), numbers.tolist()),
      form(pl.Series(events), designs, frame["timestamp"]),
      {
          "tokens": embedder.tokenizer.encode(events, designs).tokens.ids,
          "timestamp": numbers,
      },
  ])
  vectors = [*vectors, *embedder.encode(frame)]
  for vector in vectors[1:]:
    np.testing.assert_array_equal(vector, vectors[0])


def test_sequences_without_time_have_hidden_gaps(embedder):
  pairs = [("login", "0"), ("fight", "3"), ("fight", "7")]
  tokens = embedder.tokenizer.encode(*zip(*pairs, strict=True)).tokens.ids
  want = expected_vector(embedder, {"tokens": tokens}, "mean", 2)
  forms = [pairs, tuple(pairs), np.array(pairs), [list(p) for p in pairs]]
  for vector in embedder.encode(forms):
    np.testing.assert_allclose(vector, want, atol=1e-5)
  timed = {"tokens": tokens, "timestamp": [0, 10**6, 10**8]}
  assert not np.allclose(embedder.encode([timed])[0], want, atol=1e-3)


def test_unseen_pairs_fall_back_to_their_event_and_unseen_events_to_unk(
    embedder,
):
  unk, alone = 2, 5 + 1
  vectors = embedder.encode([
      ["never seen"],
      {"tokens": [unk]},
      [("fight", "999")],
      {"tokens": [alone]},
      ["fight"],
      [("fight", None)],
      [("fight", "")],
      [("fight", "3")],
  ])
  np.testing.assert_array_equal(vectors[0], vectors[1])
  for row in (2, 4, 5, 6):
    np.testing.assert_array_equal(vectors[row], vectors[3])
  assert not np.allclose(vectors[7], vectors[3])


def test_no_sequences_give_no_vectors(embedder):
  for nothing in ([], iter([]), pl.DataFrame(schema={
      "user_id": pl.String,
      "event_id": pl.String,
      "timestamp": pl.Datetime("us", "UTC"),
  })):
    got = embedder.encode(nothing)
    assert got.shape == (0, 16) and got.dtype == np.float32


@pytest.mark.slow
def test_a_generator_is_read_as_it_goes(tmp_path):
  embedder = Embedder.load(make_run(tmp_path, num_layers=1, embed_dim=8))
  count, length = 60, 20_000

  def sequences():
    for i in range(count):
      yield {"tokens": np.full(length, 6), "timestamp": np.arange(length) + i}

  embedder.encode(random_sequences([31]), "last", batch_size=4)
  tracemalloc.start()
  vectors = embedder.encode(sequences(), "last", batch_size=4)
  _, peak = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert vectors.shape == (count, 8)
  # Held together, they would take 16 bytes an event: 19 MB.
  assert peak < 4e6


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ([["a"], []], "sequence 1: has no events"),
        (["login", "fight"], "sequence 0: is the text 'login'"),
        ("login", "sequences is a str; give a list of sequences"),
        ({"event_id": ["a"]}, "sequences is a dict"),
        (7, "sequences is a int"),
        ([["a"], {"event_id": ["a", "b"], "timestamp": [2, 1]}],
         "sequence 1: timestamps go backwards at position 1"),
    ],
)
def test_what_cannot_be_encoded_is_named(embedder, sequences, message):
  with pytest.raises(UserError, match=message):
    embedder.encode(sequences)


def test_wrong_options_are_errors(embedder):
  with pytest.raises(UserError, match="pooling 'sum'; known are mean"):
    embedder.encode([["a"]], pooling="sum")
  with pytest.raises(UserError, match="batch_size is 0"):
    embedder.encode([["a"]], batch_size=0)


def test_progress_says_how_far_it_is(embedder, capsys, monkeypatch):
  monkeypatch.setattr(
      "behavior_lm.common.progress.SECONDS_BETWEEN_LINES", 0.0
  )
  embedder.encode(random_sequences([3, 5]), progress=True)
  said = capsys.readouterr().err
  assert "2 of 2 sequences" in said and "events/s" in said


@pytest.mark.slow
def test_bfloat16_models_give_float32_vectors(tmp_path):
  embedder = Embedder.load(make_run(tmp_path, dtype="bfloat16"))
  got = embedder.encode(random_sequences([3, 50]))
  assert got.dtype == np.float32 and np.isfinite(got).all()


@pytest.mark.slow
def test_the_package_loads_its_parts_when_they_are_asked_for():
  source = """
import sys, behavior_lm
assert callable(behavior_lm.open_dataset)
assert callable(behavior_lm.load_tokenizer)
assert behavior_lm.__version__[0].isdigit()
assert not {"jax", "flax"} & set(sys.modules)
assert set(behavior_lm.__all__) | {"__version__"} <= set(dir(behavior_lm))
try:
  behavior_lm.embed
except AttributeError as error:
  assert "no attribute 'embed'" in str(error)
else:
  sys.exit("an attribute that does not exist")
from behavior_lm import Embedder
assert Embedder.__module__ == "behavior_lm.inference.embedder"
"""
  done = subprocess.run(
      [sys.executable, "-c", source],
      capture_output=True,
      text=True,
      timeout=300,
  )
  assert done.returncode == 0, done.stderr

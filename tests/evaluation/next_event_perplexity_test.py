from flax import nnx
from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from behavior_lm.data.packed_rows import RowSource
from behavior_lm.evaluation.next_event_perplexity import first_seen
from behavior_lm.logs.dataset import open_dataset
from behavior_lm.recipes.pretrain import make_evaluator
from behavior_lm.recipes.pretrain import make_subject
from behavior_lm.recipes.shared import parts
from behavior_lm.training.sharding import make_mesh
from behavior_lm.training.state import split_model
from tests.data.windows_test import windows_of
from tests.tiny import tiny_config


def place(index, example, tokens):
  size = len(tokens)
  return {
      "token_index": np.arange(size, dtype=np.int32),
      "sequence": np.full(size, index, np.int32),
  }


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=6),
    st.integers(3, 12),
    st.data(),
)
def test_every_event_is_scored_once_behind_the_longest_context_it_can_have(
    lengths, max_length, data
):
  stride = data.draw(st.integers(1, max_length - 1))
  windows = windows_of(
      lengths,
      annotate=place,
      max_length=max_length,
      move_cuts=False,
      history="strided",
      stride=stride,
  )
  rows = RowSource(windows, 2 * max_length, 4, shuffle=False, repeat=False)
  seen = [np.full(n, -1) for n in lengths]
  for row in (rows[i] for i in range(len(rows))):
    batch = {name: values[None] for name, values in row.items()}
    marks = first_seen(batch, windows.capacity, stride)[0]
    for at in np.flatnonzero(marks):
      known = seen[row["sequence"][at]]
      assert known[row["token_index"][at]] == -1
      known[row["token_index"][at]] = row["positions"][at] - 1
  for known in seen:
    # Events before each, in the window in which it was scored.
    least = np.minimum(np.arange(len(known)), windows.capacity - stride)
    assert (known >= least).all()


def subject_of(dataset_path, **changes):
  config = tiny_config(
      dataset_path, objective="next_events", model__num_layers=1, **changes
  )
  dataset = open_dataset(dataset_path)
  tokenizer = parts.make_tokenizer(config, dataset)
  make = parts.language_model(config, tokenizer.vocab_size)
  graphdef, params, model_state = split_model(make(rngs=nnx.Rngs(0)))
  subject = make_subject(config, dataset, tokenizer, graphdef, make_mesh())
  state = {"params": params, "model_state": model_state}
  return config, subject, state


@pytest.mark.slow
def test_all_events_are_scored_and_none_twice(dataset_path):
  config, subject, state = subject_of(dataset_path)
  scores = make_evaluator(config, "test", subject).scores(state)
  sizes = subject.dataset.sequences("test")["num_events"].to_numpy()
  np.testing.assert_array_equal(scores.count, sizes)
  np.testing.assert_array_equal(scores.num_events, sizes)


def test_a_model_that_knows_nothing_has_the_perplexity_of_the_vocabulary(
    dataset_path,
):
  config, subject, state = subject_of(dataset_path)
  state["params"]["encoder"]["embed"]["token"]["embedding"] *= 0
  found = make_evaluator(config, "test", subject).run(state)
  want = subject.tokenizer.vocab_size - 4
  assert found["perplexity"] == pytest.approx(want, rel=1e-4)

import json

import numpy as np
import pytest

from behavior_lm.data.packed_rows import RowSource
from behavior_lm.data.pipeline import BatchSpec
from behavior_lm.data.pipeline import make_loader
from behavior_lm.data.staged_batches import StagedBatches
from tests.data.windows_test import windows_of

# (length, rows, batches up to the end of the stage); 32 tokens a batch.
STAGES = ((4, 8, 5), (8, 4, 7), (16, 2, 0))
TOTAL = 12
LENGTHS = [40, 7, 31, 13, 22]


def open_stages(prefetch=2):
  loaders = []
  for length, rows, _ in STAGES:
    source = RowSource(
        windows_of(LENGTHS, max_length=length), length, 4, rows_apart=rows
    )
    spec = BatchSpec(rows, length, 4, prefetch=prefetch)
    loaders.append(make_loader(source, spec))
  return StagedBatches(loaders, [end for _, _, end in STAGES])


@pytest.fixture(scope="module")
def whole():
  """All batches, and the state behind each, as JSON keeps it."""
  batches = open_stages()
  found = []
  for _ in range(TOTAL):
    batch = next(batches)
    found.append((batch, json.dumps(batches.get_state())))
  batches.close()
  return found


def assert_equal(one, other):
  assert one.keys() == other.keys()
  for name, values in one.items():
    np.testing.assert_array_equal(values, other[name])


def test_rows_grow_and_batches_keep_their_tokens(whole):
  shapes = [batch["tokens"].shape for batch, _ in whole]
  assert shapes == [(8, 4)] * 5 + [(4, 8)] * 2 + [(2, 16)] * 5
  stages = [json.loads(state)["stage"] for _, state in whole]
  assert stages == [0] * 5 + [1] * 2 + [2] * 5


def test_any_state_brings_back_the_next_batches(whole):
  """Also that behind the last batch of a stage, from any other stage."""
  for done in (0, 4, 5, 7, 9):
    batches = open_stages(prefetch=0)
    if done:
      batches.set_state(json.loads(whole[done - 1][1]))
    for place in range(done, done + 3):
      assert_equal(next(batches), whole[place][0])
      assert json.loads(whole[place][1])["stage"] == (
          batches.get_state()["stage"]
      )
    batches.close()
  late = open_stages()
  late.set_state(json.loads(whole[8][1]))
  late.set_state(json.loads(whole[1][1]))
  assert_equal(next(late), whole[2][0])
  late.close()


def test_a_stage_begins_with_an_epoch_of_its_own_windows(whole):
  """Within a stage, each of its windows comes once per epoch."""
  source = RowSource(windows_of(LENGTHS, max_length=4), 4, 4)
  want = sorted(
      tuple(source.windows.read(0, i)["tokens"])
      for i in range(len(source.windows))
  )
  got = []
  for batch, _ in whole[:5]:
    for tokens, ids in zip(batch["tokens"], batch["segment_ids"], strict=True):
      for segment in range(1, ids.max() + 1):
        got.append(tuple(tokens[ids == segment]))
  # 40 rows of 39 windows or a few less: one epoch, and the start of the next.
  epoch = len(want)
  assert epoch <= len(got) and sorted(got[:epoch]) == want

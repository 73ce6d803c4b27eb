import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.inference.explain.masking import draw_masks
from behavior_lm.inference.explain.masking import token_confidence
from behavior_lm.objectives.masked_events import MaskedEvents
from behavior_lm.recipes.train import train
from tests.inference.fake_runs import make_run
from tests.tiny import tiny_config

SIZES = dict(vocab_size=12, num_special=5, mask_id=4, unk_id=1, max_segments=1)


@pytest.mark.slow
def test_events_alone_are_hidden_and_those_known_less_more_often():
  objective = MaskedEvents(
      **SIZES, mask_rate=0.25, strategy="mtc", temperature=0.1
  )
  tokens = np.array([[3, *([6, 7] * 8), 0, 0]], np.int32)
  batch = {"tokens": tokens, "segment_ids": (tokens > 0).astype(np.int32)}
  confidence = np.zeros(12, np.float32)
  confidence[7] = 0.5
  masks = draw_masks(
      objective, batch, {"confidence": confidence}, num_draws=50
  )
  assert masks.shape == (50, 1, 19)
  np.testing.assert_array_equal(masks.sum((1, 2)), 4)
  assert not masks[:, tokens < 5].any()
  assert masks[:, tokens == 6].sum() > 10 * masks[:, tokens == 7].sum()


@pytest.mark.slow
def test_the_confidence_of_a_run_is_that_of_its_objective(
    tmp_path, dataset_path
):
  config = tiny_config(dataset_path, objective__strategy="mtc", total_steps=20)
  train(config, tmp_path / "run")
  found = token_confidence(tmp_path / "run")
  assert found["token"][3] == "[CLS]"
  assert found["confidence"][3] == 0  # It is never masked.
  assert 0 < found["confidence"].max() < 1


@pytest.mark.slow
def test_a_run_without_confidence_is_refused(tmp_path):
  with pytest.raises(UserError, match="strategy=mtc"):
    token_confidence(make_run(tmp_path / "run", num_layers=1))

"""Damage of run folders: the same parameters and tokens, or one message."""

from hypothesis import given
import jax
import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.recipes.shared.loading import load_run
from tests.damage import damaged
from tests.damage import damages
from tests.damage import fuzz
from tests.inference.fake_runs import make_run

# The fixtures of this file take seconds.
pytestmark = pytest.mark.slow


def state(run):
  """The step, and everything that inference reads besides the config."""
  leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(run.state)]
  return run.step, run.tokenizer.tokens, leaves


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A run folder with two checkpoints, and the state of each."""
  path = make_run(
      tmp_path_factory.mktemp("run") / "run", max_length=8, steps=(3, 5),
      num_layers=1, embed_dim=4, num_heads=1, mlp_dim=4,
  )  # fmt: skip
  return path, {step: state(load_run(path, step)) for step in (3, 5)}


@fuzz(8)
@given(harm=damages(2))
def test_a_damaged_run_reads_as_before_or_is_refused(folder, harm):
  path, want = folder
  with damaged(path, harm) as (copy, touched):
    try:
      step, tokens, leaves = state(load_run(copy))
    except UserError as error:
      assert touched and str(copy) in str(error)
      return
  _, their_tokens, their_leaves = want[step]
  assert tokens == their_tokens
  assert len(leaves) == len(their_leaves)
  for one, other in zip(leaves, their_leaves, strict=True):
    np.testing.assert_array_equal(one, other)

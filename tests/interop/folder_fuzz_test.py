"""Damage of Hugging Face folders: the same weights, or one message."""

from flax import nnx
from hypothesis import given
import jax
import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.interop.huggingface import read_huggingface
from behavior_lm.interop.huggingface import write_huggingface
from tests.damage import damaged
from tests.damage import damages
from tests.damage import fuzz
from tests.interop.models import make


def leaves(model):
  found = jax.tree_util.tree_leaves_with_path(nnx.split(model, nnx.Param)[1])
  return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in found}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A folder with its weights."""
  model = make("bert", num_layers=1, embed_dim=8, num_heads=2, mlp_dim=8)
  path = tmp_path_factory.mktemp("bert") / "served"
  write_huggingface(path, model)
  return path, leaves(model)


@pytest.mark.slow
@fuzz(30)
@given(harm=damages())
def test_a_damaged_folder_reads_as_before_or_is_refused(folder, harm):
  path, want = folder
  with damaged(path, harm) as (copy, touched):
    try:
      found = leaves(read_huggingface(copy).model)
    except UserError as error:
      assert touched and str(copy) in str(error)
      return
  assert all(np.isfinite(array).all() for array in found.values())
  # Weights have no checksum; what is read elsewhere is as it was.
  if touched <= {"config.json"}:
    same = [name for name in want if found[name].shape == want[name].shape]
    assert all((found[name] == want[name]).all() for name in same)

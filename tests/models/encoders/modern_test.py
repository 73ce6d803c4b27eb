from flax import nnx
import jax
import pytest

from tests.models.encoders.encoder_test import make
from tests.models.encoders.encoder_test import make_with_head


def test_a_modern_model_has_no_biases_but_those_of_the_vocabulary():
  model = make_with_head("modern", time_encoding="none")
  names = [
      jax.tree_util.keystr(path)
      for path, _ in jax.tree_util.tree_leaves_with_path(
          nnx.state(model, nnx.Param)
      )
  ]
  biases = [name for name in names if "bias" in name]
  assert biases == ["['head']['bias'].value"]


def test_more_than_every_layer_cannot_be_global():
  with pytest.raises(ValueError, match="global_every is 0"):
    make("modern", global_every=0)

import json

import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.interop.huggingface import read_huggingface
from behavior_lm.interop.language_models import import_language_model
from behavior_lm.recipes.shared.language import load_prompt_model
from tests.prompts import language_folder


@pytest.mark.slow
def test_a_folder_of_a_language_model_becomes_a_run(tmp_path):
  source = language_folder(tmp_path / "source")
  import_language_model(source, tmp_path / "run")
  model = load_prompt_model(tmp_path / "run", pooling="cls")
  want = read_huggingface(source).model.encoder
  got = model.params["encoder"]["layers"][0]["attention"]["qkv"]["kernel"]
  np.testing.assert_array_equal(got, want.layers[0].attention.qkv.kernel[...])
  assert model.config.model.max_length == 32
  assert model.config.head.pooling == "cls"
  other = load_prompt_model(tmp_path / "run", pooling="mean")
  assert other.fingerprint != model.fingerprint
  with pytest.raises(UserError, match="not empty"):
    import_language_model(source, tmp_path / "run")


def test_a_tokenizer_of_another_model_is_refused(tmp_path):
  source = language_folder(tmp_path / "source")
  vocabulary = source / "vocab.txt"
  vocabulary.write_text(vocabulary.read_text() + "more\nwords\n")
  with pytest.raises(UserError, match="of different models"):
    import_language_model(source, tmp_path / "run")
  assert not (tmp_path / "run").exists()
  config = json.loads((source / "config.json").read_text())
  assert config["model_type"] == "bert"

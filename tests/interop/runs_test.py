import json
import shutil

import numpy as np
import pytest

from behavior_lm.artifacts.run_folder import load_run_config
from behavior_lm.common.errors import UserError
from behavior_lm.data.tokenizers import load_tokenizer
from behavior_lm.inference.embedder import Embedder
from behavior_lm.interop import runs
from behavior_lm.interop.huggingface import read_huggingface
from behavior_lm.recipes.train import train
from tests.inference.fake_runs import make_run
from tests.inference.fake_runs import random_sequences
from tests.interop.huggingface_test import change
from tests.interop.huggingface_test import leaves
from tests.interop.huggingface_test import same
from tests.interop.huggingface_test import weights

# The fixtures of this file take seconds.
pytestmark = pytest.mark.slow

PLAIN = dict(
    time_encoding="none", position_encoding="learned", norm_position="post"
)
OWN = {
    "bert": {},
    "albert": {"embedding_dim": 8, "activation": "gelu_tanh"},
    "longformer": {"window_size": 4},
}


def files(folder):
  return sorted(
      str(path.relative_to(folder))
      for path in folder.rglob("*")
      if path.is_file()
  )


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
  """A run of BERT and its export."""
  folder = tmp_path_factory.mktemp("bert")
  make_run(folder / "run", steps=(5, 12), **PLAIN)
  assert runs.export_run(folder / "run", folder / "out") == 12
  return folder


@pytest.fixture
def exported(bert, tmp_path):
  """A copy of the export to damage."""
  return shutil.copytree(bert / "out", tmp_path / "out")


def test_an_export_has_what_a_server_needs(bert):
  assert files(bert / "out") == [
      "behavior_lm/config.json",
      "behavior_lm/export.json",
      "behavior_lm/tokenizer/tokenizer.json",
      "behavior_lm/tokens.json",
      "config.json",
      "model.safetensors",
  ]
  own = bert / "out" / "behavior_lm"
  tokenizer = load_tokenizer(own / "tokenizer")
  names = json.loads((own / "tokens.json").read_text())
  assert names == tokenizer.tokens and names[:2] == ["[PAD]", "[MASK]"]
  values = json.loads((bert / "out" / "config.json").read_text())
  assert values["vocab_size"] == len(names) and values["pad_token_id"] == 0


def test_an_export_does_not_tell_where_the_logs_lay(tmp_path):
  run = make_run(tmp_path / "run", **PLAIN)
  config = json.loads((run / "config.json").read_text())
  config["data"]["path"] = "/secret/place"
  config["init_from"]["encoder"] = "/secret/run"
  config["tokenizer"]["path"] = "/secret/tokenizer"
  (run / "config.json").write_text(json.dumps(config))
  runs.export_run(run, tmp_path / "out")
  for name in files(tmp_path / "out"):
    assert b"secret" not in (tmp_path / "out" / name).read_bytes(), name


@pytest.mark.parametrize("name", OWN)
def test_an_exported_run_comes_back_with_the_same_vectors(tmp_path, name):
  make_run(tmp_path / "run", name=name, **PLAIN | OWN[name])
  runs.export_run(tmp_path / "run", tmp_path / "out")
  found = runs.import_run(tmp_path / "out", tmp_path / "back")
  before, after = (
      Embedder.load(tmp_path / side) for side in ("run", "back")
  )
  assert (before.step, after.step) == (5, 5)
  assert found.config.max_segments == before.config.data.max_segments
  sequences = random_sequences([3, 40])
  assert before.encode(sequences).tobytes() == after.encode(
      sequences
  ).tobytes()


def test_the_step_can_be_chosen(bert, tmp_path):
  assert runs.export_run(bert / "run", tmp_path / "out", step=5) == 5
  assert not same(weights(tmp_path / "out"), weights(bert / "out"))
  found = runs.import_run(tmp_path / "out", tmp_path / "back")
  assert Embedder.load(tmp_path / "back").step == 5
  assert same(
      leaves(found.model), leaves(read_huggingface(tmp_path / "out").model)
  )


def test_what_was_learned_elsewhere_comes_along(exported, tmp_path):
  tensors = weights(exported)
  for key in ("bert.embeddings.token_type_embeddings.weight",
              "bert.encoder.layer.0.attention.self.value.bias"):
    tensors[key] = tensors[key] + 1
  change(exported, tensors, hidden_dropout_prob=0.3)
  runs.import_run(exported, tmp_path / "back")
  back = Embedder.load(tmp_path / "back")
  assert back.config.model.num_token_types == 1
  types = back.params["encoder"]["embed"]["token_type"]["embedding"]
  assert (np.asarray(types) == 1).all()
  assert back.encode(random_sequences([9])).shape == (1, 16)


def test_an_imported_run_says_how_to_go_on(
    exported, tmp_path, dataset_path
):
  back = tmp_path / "back"
  runs.import_run(exported, back)
  config = load_run_config(back)
  config.data.path = str(dataset_path)
  with pytest.raises(UserError, match="Start a new one from it, .*init_from"):
    train(config, back)


def drop(path):
  return lambda folder: (
      shutil.rmtree(folder / path)
      if (folder / path).is_dir()
      else (folder / path).unlink()
  )


def write(path, text):
  return lambda folder: (folder / path).write_text(text)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (drop("behavior_lm"), "so no tokenizer of events"),
        (drop("behavior_lm/tokenizer"), "no tokenizer.json"),
        (drop("behavior_lm/export.json"), "export.json: cannot be read"),
        (drop("model.safetensors"), "no model.safetensors"),
        (
            write("behavior_lm/config.json", "{}"),
            "config.json: is no config of a run",
        ),
        (
            write("behavior_lm/export.json", '{"step": -1}'),
            "step is -1, not a number of steps",
        ),
        (
            lambda folder: change(folder, layer_norm_eps=1e-3),
            r"another model than behavior_lm/ says: norm_epsilon \(1e-12 in",
        ),
        (
            lambda folder: change(
                folder,
                {
                    key.removeprefix("bert."): tensor
                    for key, tensor in weights(folder).items()
                    if key.startswith("bert.")
                },
            ),
            "without its masked-token head",
        ),
    ],
)
def test_a_folder_that_is_no_export_is_a_clear_error(
    exported, tmp_path, damage, message
):
  damage(exported)
  with pytest.raises(UserError, match=message):
    runs.import_run(exported, tmp_path / "back")
  assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_a_model_with_time_is_refused_and_nothing_is_left(tmp_path):
  make_run(tmp_path / "run", **PLAIN | {"time_encoding": "bucket"})
  with pytest.raises(UserError, match="time_encoding is 'bucket'"):
    runs.export_run(tmp_path / "run", tmp_path / "out")
  assert [path.name for path in tmp_path.iterdir()] == ["run"]

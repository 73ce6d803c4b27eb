import json
import shutil

import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.inference.embedder import Embedder
from tests.inference.fake_runs import make_run
from tests.inference.fake_runs import random_sequences

# The fixtures of this file take seconds.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
  return make_run(tmp_path_factory.mktemp("run"), steps=(5, 12))


@pytest.fixture
def run(intact, tmp_path):
  """A copy to damage."""
  return shutil.copytree(intact, tmp_path / "run")


def files(folder):
  return sorted(str(path) for path in folder.rglob("*"))


def test_the_last_checkpoint_is_loaded_unless_a_step_is_given(run):
  sequences = random_sequences([20])
  last, first = Embedder.load(run), Embedder.load(str(run), step=5)
  assert (last.step, first.step) == (12, 5)
  assert last.fingerprint != first.fingerprint
  assert last.fingerprint == Embedder.load(run, 12).fingerprint
  assert not np.allclose(last.encode(sequences), first.encode(sequences))


def test_loading_changes_nothing_in_the_folder(run):
  before = files(run)
  Embedder.load(run)
  assert files(run) == before


def change_config(run, **changes):
  path = run / "config.json"
  config = json.loads(path.read_text())
  for key, value in changes.items():
    section, _, name = key.partition("__")
    config[section][name] = value
  path.write_text(json.dumps(config))


DAMAGES = {
    "no folder": (shutil.rmtree, "no such run folder"),
    "no config": (lambda run: (run / "config.json").unlink(), "no config.json"),
    "half a config": (
        lambda run: (run / "config.json").write_text('{"data": {"max_'),
        "config.json: not readable as JSON",
    ),
    "binary config": (
        lambda run: (run / "config.json").write_bytes(b"\xff\xfe\x00"),
        "config.json: (cannot be read|holds a JSON list)",
    ),
    "config of another kind": (
        lambda run: (run / "config.json").write_text("[1, 2]"),
        "config.json: (cannot be read|holds a JSON list)",
    ),
    "empty config": (
        lambda run: (run / "config.json").write_text("{}"),
        "config.json: is damaged or of another version",
    ),
    "unknown model": (
        lambda run: change_config(run, model__name="gpt"),
        "config.json: config.model.name is 'gpt'",
    ),
    "unknown gap": (
        lambda run: change_config(run, data__gap_kind="sideways"),
        "config.json: config.data.gap_kind is 'sideways'",
    ),
    "unknown field": (
        lambda run: change_config(run, model__wings=2),
        "config.json: config.model: .*wings",
    ),
    "a size that is a word": (
        lambda run: change_config(run, model__embed_dim="wide"),
        "config.json: is damaged or of another version",
    ),
    "more layers than fit": (
        lambda run: change_config(run, model__num_layers=2**31),
        "config.json: num_layers is 2147483648; 10,000 is the most",
    ),
    "sizes of another model": (
        lambda run: change_config(run, model__embed_dim=32),
        "checkpoint 12 does not fit this model, or is damaged",
    ),
    "no tokenizer": (
        lambda run: shutil.rmtree(run / "tokenizer"),
        "no tokenizer.json",
    ),
    "no checkpoints": (
        lambda run: shutil.rmtree(run / "checkpoints"),
        "has no checkpoints yet",
    ),
    "empty checkpoints": (
        lambda run: [
            shutil.rmtree(run / "checkpoints" / step) for step in ("5", "12")
        ],
        "no finished checkpoint",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_run_folder_is_a_clear_error(run, name):
  damage, message = DAMAGES[name]
  damage(run)
  before = files(run)
  with pytest.raises(UserError, match=message) as caught:
    Embedder.load(run)
  assert "run" in str(caught.value)
  assert files(run) == before


def test_an_unknown_step_is_an_error_that_lists_the_others(run):
  with pytest.raises(UserError, match=r"no step 6; saved are \[5, 12\]"):
    Embedder.load(run, step=6)

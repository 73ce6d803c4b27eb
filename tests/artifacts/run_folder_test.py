import pytest

from behavior_lm.artifacts.run_folder import config_hash
from behavior_lm.artifacts.run_folder import load_config
from behavior_lm.artifacts.run_folder import open_run
from behavior_lm.common.errors import UserError
from behavior_lm.logs.dataset import open_dataset
from behavior_lm.models.encoders import ENCODERS
from behavior_lm.recipes.pretrain import build_model
from tests.tiny import tiny_config
from tests.tiny import tiny_dataset


def test_a_config_round_trips_through_the_run_folder(dataset_path, tmp_path):
  config = tiny_config(dataset_path)
  open_run(config, tmp_path / "run", open_dataset(dataset_path))
  loaded = load_config(tmp_path / "run")
  assert loaded.to_dict() == config.to_dict()
  assert config_hash(loaded) == config_hash(config)


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_the_folder_of_every_architecture_is_opened_again(
    dataset_path, tmp_path, name
):
  """JSON knows no tuples, of which some configs are made."""
  dataset = open_dataset(dataset_path)
  config = tiny_config(dataset_path, name)
  if name in ("longformer", "modern"):
    with config.ignore_type():
      config.model.window_size = (3,) * config.model.num_layers
  first = open_run(config, tmp_path / "run", dataset)
  again = open_run(config, tmp_path / "run", dataset)
  assert again.fingerprint == first.fingerprint
  made, loaded = (
      build_model(which, 100).args[0]
      for which in (config, load_config(tmp_path / "run"))
  )
  assert made == loaded


def test_another_config_in_the_folder_is_refused_and_named(
    dataset_path, tmp_path
):
  dataset = open_dataset(dataset_path)
  open_run(tiny_config(dataset_path), tmp_path / "run", dataset)
  other = tiny_config(dataset_path, optim__learning_rate=0.5)
  with pytest.raises(UserError, match=r"optim.learning_rate \(.* there, 0.5"):
    open_run(other, tmp_path / "run", dataset)


def test_how_a_run_is_watched_may_change(dataset_path, tmp_path):
  dataset = open_dataset(dataset_path)
  first = tiny_config(dataset_path)
  tokenizer = open_run(first, tmp_path / "run", dataset)
  watched = tiny_config(dataset_path, log_every=3, eval__every=5)
  again = open_run(watched, tmp_path / "run", dataset)
  assert again.fingerprint == tokenizer.fingerprint
  assert config_hash(watched) == config_hash(first)


def test_another_dataset_is_refused(dataset_path, tmp_path):
  dataset = open_dataset(dataset_path)
  open_run(tiny_config(dataset_path), tmp_path / "run", dataset)
  other = tiny_dataset(tmp_path, unit="user")
  with pytest.raises(UserError, match="another dataset"):
    open_run(tiny_config(other), tmp_path / "run", open_dataset(other))


def test_a_folder_of_something_else_is_refused(dataset_path, tmp_path):
  (tmp_path / "holiday.jpg").write_bytes(b"")
  with pytest.raises(UserError, match="not empty and not a run folder"):
    open_run(tiny_config(dataset_path), tmp_path, open_dataset(dataset_path))


def test_a_file_as_workdir_is_refused(dataset_path, tmp_path):
  path = tmp_path / "file"
  path.write_text("")
  with pytest.raises(UserError, match="is a file"):
    open_run(tiny_config(dataset_path), path, open_dataset(dataset_path))


def test_a_folder_without_config_is_no_run(tmp_path):
  with pytest.raises(UserError, match="no config.json"):
    load_config(tmp_path)


def test_a_damaged_config_is_named(tmp_path):
  (tmp_path / "config.json").write_text("{")
  with pytest.raises(UserError, match="config.json: not readable"):
    load_config(tmp_path)

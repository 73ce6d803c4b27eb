import json

import pytest

from behavior_lm.artifacts import run_folder
from behavior_lm.common.errors import UserError
from tests.toy_recipe import toy_config


def made(folder, **changes):
  config = toy_config(**changes)
  run_folder.create_run(config, folder, lambda path: None)
  return config


def test_a_config_round_trips_through_the_run_folder(tmp_path):
  config = made(tmp_path / "run")
  loaded = run_folder.load_run_config(tmp_path / "run")
  assert loaded.to_dict() == config.to_dict()
  assert run_folder.config_hash(loaded) == run_folder.config_hash(config)
  run_folder.check_same(config, tmp_path / "run")


def test_a_tuple_in_a_config_is_the_same_config_again(tmp_path):
  """JSON knows no tuples."""
  config = toy_config()
  config.sizes = (1, 2)
  run_folder.create_run(config, tmp_path / "run", lambda path: None)
  run_folder.check_same(config, tmp_path / "run")


def test_another_config_in_the_folder_is_refused_and_named(tmp_path):
  made(tmp_path / "run")
  other = toy_config(optim__learning_rate=0.5)
  with pytest.raises(UserError, match=r"optim.learning_rate \(.* there, 0.5"):
    run_folder.check_same(other, tmp_path / "run")


def test_how_a_run_is_watched_may_change(tmp_path):
  first = made(tmp_path / "run")
  watched = toy_config(
      log_every=3, evals={"valid": {"every": 5}}, mesh__data=1, max_minutes=9.0
  )
  run_folder.check_same(watched, tmp_path / "run")
  assert run_folder.config_hash(watched) == run_folder.config_hash(first)


def test_the_config_comes_last_so_that_a_folder_with_one_is_complete(tmp_path):
  def fail(folder):
    (folder / "tokenizer").mkdir()
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    run_folder.create_run(toy_config(), tmp_path / "run", fail)
  assert not run_folder.is_run(tmp_path / "run")


def test_a_run_that_was_killed_while_it_was_made_is_made_anew(tmp_path):
  run = tmp_path / "run"
  (run / ".building" / "tokenizer").mkdir(parents=True)
  # The move had begun.
  (run / "tokenizer").mkdir()
  (run / "tokenizer" / "old").touch()
  assert not run_folder.is_run(run)
  run_folder.check_free(run)

  def save(folder):
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "new").touch()

  run_folder.create_run(toy_config(), run, save)
  found = sorted(str(path.relative_to(run)) for path in run.rglob("*"))
  assert found == ["config.json", "run.json", "tokenizer", "tokenizer/new"]


@pytest.mark.parametrize("about", [None, "{}", '{"layout": 1}', "junk"])
def test_a_run_of_an_older_layout_is_one_clear_line(tmp_path, about):
  made(tmp_path / "run")
  path = tmp_path / "run" / "run.json"
  path.unlink() if about is None else path.write_text(about)
  with pytest.raises(UserError, match="run: .*layout 1.*train") as caught:
    run_folder.load_run_config(tmp_path / "run")
  assert "\n" not in str(caught.value)


def test_a_folder_of_something_else_is_refused(tmp_path):
  (tmp_path / "holiday.jpg").write_bytes(b"")
  with pytest.raises(UserError, match="not empty and not a run folder"):
    run_folder.check_free(tmp_path)
  with pytest.raises(UserError, match="is a file"):
    run_folder.check_free(tmp_path / "holiday.jpg")
  run_folder.check_free(tmp_path / "new")


def test_a_folder_without_config_is_no_run(tmp_path):
  with pytest.raises(UserError, match="no config.json"):
    run_folder.load_config(tmp_path)


def test_a_damaged_config_is_named(tmp_path):
  (tmp_path / "config.json").write_text("{")
  with pytest.raises(UserError, match="config.json: not readable"):
    run_folder.load_config(tmp_path)


def test_the_command_is_recorded_with_what_the_caller_adds(tmp_path):
  run_folder.create_run(toy_config(), tmp_path / "run", lambda path: None, a=1)
  about = json.loads((tmp_path / "run" / "run.json").read_text())
  assert about["a"] == 1 and about["layout"] == run_folder.LAYOUT
  assert about["command"]

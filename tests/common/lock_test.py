"""One process at a time in a folder."""

import os

import pytest

from behavior_lm.artifacts.run_folder import create_run
from behavior_lm.common.errors import UserError
from behavior_lm.common.lock import held
from behavior_lm.common.lock import held_beside
from behavior_lm.common.lock import LOCK
from configs.ranking import get_config
from tests.experiments import command
from tests.reporting import example_run


def test_two_processes_do_not_hold_one_folder(tmp_path):
  folder = tmp_path / "new" / "run"
  with held(folder, "--workdir run"):
    assert (folder / LOCK).read_text() == str(os.getpid())
    message = f"--workdir run: process {os.getpid()} is writing it. Wait for it"
    with pytest.raises(UserError, match=message), held(folder, "--workdir run"):
      pass
    (folder / "config.json").touch()
  assert [path.name for path in folder.iterdir()] == ["config.json"]
  with held(folder, ""):
    pass


def test_a_folder_that_stays_empty_is_removed_again(tmp_path):
  with pytest.raises(ValueError), held(tmp_path / "run", ""):
    raise ValueError
  assert not (tmp_path / "run").exists()
  (tmp_path / "mine").mkdir()
  with held(tmp_path / "mine", ""):
    pass
  assert (tmp_path / "mine").exists()


def test_a_folder_may_be_renamed_while_it_is_held(tmp_path):
  with held(tmp_path / "a", ""):
    (tmp_path / "a").rename(tmp_path / "b")
  assert (tmp_path / "b" / LOCK).exists()


def test_the_lock_of_one_who_has_just_left_is_none(tmp_path, monkeypatch):
  """Between opening the file and locking it, its holder deletes it."""
  locked = os.fstat

  def late(number):
    (tmp_path / LOCK).unlink(missing_ok=True)
    return locked(number)

  monkeypatch.setattr(os, "fstat", late)
  with pytest.raises(UserError, match="is writing it"), held(tmp_path, ""):
    pass


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
  (tmp_path / "file").touch()
  with pytest.raises(UserError, match="--out x: cannot be written: Not a dir"):
    with held(tmp_path / "file" / "folder", "--out x"):
      pass


def test_a_lock_beside_a_result_leaves_nothing(tmp_path):
  out = tmp_path / "new" / "table.parquet"
  with held_beside(out, "--out table"):
    with pytest.raises(UserError, match="--out table: process"):
      with held_beside(out, "--out table"):
        pass
    # Others in the folder do not disturb each other.
    with held_beside(out.with_name("other.parquet"), "--out other"):
      pass
    assert not out.exists()
  assert not list(tmp_path.iterdir())
  with held_beside(out, ""):
    out.touch()
  assert [path.name for path in out.parent.iterdir()] == ["table.parquet"]


def test_what_a_kill_left_beside_a_result_is_taken_over(tmp_path):
  out = tmp_path / "report"
  with held_beside(out, ""):
    [left] = tmp_path.iterdir()
    names = left, left / LOCK
  names[0].mkdir()
  names[1].write_text("123")
  with held_beside(out, ""):
    pass
  assert not list(tmp_path.iterdir())


_FINETUNE = "--config=configs/finetune.py:task=bot,run=x,labels=y"
_SWEEP = "--sweep=experiments/ablations/time_encodings.py"


@pytest.mark.parametrize(
    ("name", "flags", "lock", "place"),
    [
        ("downstream", ["--task=bot", "--out={}"], held, ""),
        ("evaluate", ["--run={}"], held, "evaluations"),
        ("explain", ["--run=x", "--data=x", "--users=1", "--out={}"], held, ""),
        ("export", ["--run=x", "--to=faiss:{}"], held_beside, ""),
        ("export", ["--run=x", "--to=parquet:{}"], held_beside, ""),
        ("export", ["--run=x", "--to=stablehlo:{}"], held_beside, ""),
        ("export", ["--run=x", "--out={}"], held_beside, ""),
        ("export", ["--run={}", "--huggingface=x"], held_beside, ""),
        ("finetune", [_FINETUNE, "--workdir={}"], held, ""),
        ("fit_tokenizer", ["--data=x", "--out={}"], held, ""),
        ("generate", ["--out={}/log.csv"], held_beside, "log.csv"),
        ("generate", ["--requests={}"], held_beside, ""),
        ("probe", ["--out={}/p.json"], held, "p.json.parts"),
        ("rank", ["--run=x", "--requests=x", "--out={}"], held_beside, ""),
        ("recall", ["--run=x", "--out={}"], held_beside, ""),
        ("report", ["--run={}"], held_beside, "report"),
        ("sweep", [_SWEEP, "--steps=1", "--workdir={}"], held, ""),
    ],
)
def test_a_command_does_not_write_where_another_one_does(
    tmp_path, name, flags, lock, place
):
  out = tmp_path / "run"
  if name == "report":
    example_run.write_bare_run(out)
  elif name == "evaluate":
    # Of a recipe that needs no dataset to be scored.
    create_run(get_config("runlocal=1"), out, lambda path: None)
  with lock(out / place, "a test"):
    status, _, error = command.run(name, *[flag.format(out) for flag in flags])
  assert status == 2
  assert f"process {os.getpid()} is writing it" in error
  assert error.count("\n") == 1

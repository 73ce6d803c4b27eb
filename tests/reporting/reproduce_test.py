import shlex

import pytest

from behavior_lm.reporting import reproduce
from tests.reporting.example_run import changed
from tests.reporting.example_run import CONFIG
from tests.reporting.example_run import DATASET


def words(command):
  """As a shell reads them."""
  return shlex.split(command.replace("\\\n", " "))


def test_the_program_with_the_fewest_differences_is_taken():
  programs = {
      "a": changed(changed(CONFIG, "model/num_layers", 12), "seed", 2),
      "b": changed(CONFIG, "total_steps", 9),
      "c": changed(changed(CONFIG, "total_steps", 9), "seed", 1),
  }
  programs = {
      name: changed(program, "data/path", "")
      for name, program in programs.items()
  }
  assert words(reproduce.pretrain_command(CONFIG, "gate", programs)) == [
      "python",
      "experiments/pretrain.py",
      "--workdir",
      "runs/gate",
      "--config",
      "b",
      "--config.data.path=DATA",
      "--config.total_steps=4000",
  ]


def test_values_are_quoted_for_the_shell():
  config = changed(CONFIG, "model/name", "$(rm -rf x); 'a b'")
  command = reproduce.pretrain_command(config, "g h", {"p": CONFIG})
  assert "--config.model.name=$(rm -rf x); 'a b'" in words(command)
  assert "runs/g h" in words(command)


def test_the_prepare_command_has_what_is_not_usual():
  meta = DATASET | {
      "unit": "user",
      "timezone": "Asia/Shanghai",
      "user_fraction": 0.2,
      "seed": 3,
      "drop_duplicates": True,
  }
  assert words(reproduce.prepare_command(meta))[2:] == [
      "--logs", "map.parquet", "--out", "DATA",
      "--split_time", "2019-12-15T00:00:00Z", "--unit", "user",
      "--timezone", "Asia/Shanghai", "--user_fraction", "0.2", "--seed", "3",
      "--columns", "user_id=player", "--drop_duplicates",
  ]
  plain = reproduce.prepare_command(DATASET | {"columns": {}})
  assert "--unit" not in plain and "--columns" not in plain


@pytest.mark.parametrize(
    ("value", "want"),
    [
        ("/home/somebody/data/logs", "logs"),
        ("gate", "gate"),
        ("", ""),
        (0.002, "0.002"),
        (True, "true"),
        (None, "null"),
        ([1, 2], "[1, 2]"),
    ],
)
def test_where_files_lie_is_not_shown(value, want):
  assert reproduce.shown(value) == want

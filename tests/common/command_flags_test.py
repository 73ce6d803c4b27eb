"""Flags of commands: misspelt keys, --help."""

import subprocess
import sys

import ml_collections
import pytest

from behavior_lm.common import command_flags
from tests.experiments import command

CONFIG = ml_collections.ConfigDict(
    {"seed": 0, "optim": {"learning_rate": 1.0, "beta1": 0.9}}
)


@pytest.mark.parametrize("key", ["seed", "optim", "optim.beta1", "seed[0]"])
def test_a_key_that_the_config_has_is_no_fault(key):
  assert command_flags.unknown_keys([key], CONFIG) == ""


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("optim.lr", "optim.learning_rate"),
        ("optim.larning_rate", "Did you mean optim.learning_rate"),
        ("optm.beta1", "Did you mean optim.beta1"),
        ("sede", "Did you mean seed"),
        ("learning_rate", "optim.learning_rate"),
    ],
)
def test_a_key_that_it_does_not_have_is_answered_by_the_nearest(key, near):
  message = command_flags.unknown_keys(["seed", key], CONFIG)
  assert repr(key) in message and near in message


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        ["--config.optim.lr=1"],
        ["--config", "configs/retrieval.py", "--config.optim.lr=1"],
        ["--config=configs/finetune.py:mode=lora", "--config.optim.lr", "1"],
    ],
)
def test_a_command_names_it_in_one_line(flags):
  status, _, error = command.run("train", *flags)
  assert status == 2
  assert "optim.learning_rate" in error and "Traceback" not in error
  assert len(error.strip().splitlines()) == 1


def test_help_is_no_failure():
  found = subprocess.run(
      [sys.executable, "experiments/recall.py", "--help"],
      capture_output=True,
      text=True,
      check=False,
  )
  assert found.returncode == 0 and "--run" in found.stdout

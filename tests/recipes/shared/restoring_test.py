"""A run of another recipe is refused with what uses it."""

import pytest

from behavior_lm.artifacts.run_folder import create_run
from behavior_lm.common.errors import UserError
from behavior_lm.recipes.shared.restoring import open_run
from behavior_lm.recipes.shared.restoring import USED_WITH
from behavior_lm.recipes.train import RECIPES
from tests.toy_recipe import toy_config


@pytest.fixture
def folder(tmp_path):
  config = toy_config()
  config.recipe = "ranking"
  create_run(config, tmp_path / "run", lambda path: None)
  return tmp_path / "run"


def test_a_run_of_a_recipe_that_is_taken_is_opened(folder):
  assert open_run(folder, "interest", "ranking").recipe == "ranking"


def test_a_run_of_another_recipe_is_refused_with_what_uses_it(folder):
  with pytest.raises(UserError, match=r"configs/ranking.py.*rank\.py"):
    open_run(folder, "pretrain")


def test_every_recipe_says_what_uses_its_runs():
  assert USED_WITH.keys() == RECIPES.keys()

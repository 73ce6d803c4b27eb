import dataclasses

import pytest

from behavior_lm.artifacts.run_folder import as_saved
from behavior_lm.common.errors import UserError
from behavior_lm.logs.schema import Extra
from behavior_lm.models.encoders import ENCODERS
from behavior_lm.recipes.shared import parts
from tests.tiny import tiny_config


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_a_model_is_the_same_after_its_config_went_through_json(tmp_path, name):
  """JSON knows no tuples, of which some configs are made."""
  config = tiny_config(tmp_path, name)
  if name in ("longformer", "modern"):
    with config.ignore_type():
      config.model.window_size = (3,) * config.model.num_layers
  loaded = type(config)(as_saved(config))
  assert parts.encoder_config(config, 100) == parts.encoder_config(loaded, 100)


def test_features_reach_the_model_with_their_categories(tmp_path):
  config = tiny_config(tmp_path, data__features="hour, level")
  found = parts.encoder_config(config, 100)
  assert found.features == (("hour", 24), ("level", 0))
  assert found.fields[-2:] == ("hour", "level")


def test_rows_that_hosts_cannot_share_are_refused(tmp_path):
  with pytest.raises(UserError, match="does not divide among 3"):
    parts.batch_spec(tiny_config(tmp_path), num_hosts=3)


def test_what_is_known_of_columns_goes_into_a_locked_config(tmp_path):
  """The command line locks configs."""
  config = tiny_config(tmp_path, data__features="hour, price").lock()
  price = Extra("numeric", mean=3.0, std=2.0)
  parts.describe_extras(config, {"price": price, "other": price})
  assert config.data.extras.to_dict() == {"price": dataclasses.asdict(price)}

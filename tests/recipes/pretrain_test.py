import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.recipes import pretrain as build
from tests.tiny import tiny_config


def test_the_next_gap_is_refused_for_a_causal_model(tmp_path):
  config = tiny_config(tmp_path, model__causal=True)
  with pytest.raises(UserError, match="data.gap_kind=previous"):
    build.build_model(config, 100)
  config.data.gap_kind = "previous"
  assert callable(build.build_model(config, 100))


@pytest.mark.parametrize(
    "key, make",
    [
        ("model__name", build.build_model),
        ("objective__name", build.build_objective),
    ],
)
def test_an_unknown_name_lists_the_known_ones(tmp_path, key, make):
  config = tiny_config(tmp_path, **{key: "gpt"})
  with pytest.raises(UserError, match="is 'gpt'; known are"):
    make(config, 100)


def test_a_wrong_value_of_the_objective_is_a_clear_error(tmp_path):
  config = tiny_config(tmp_path, objective__mask_rate=2.0)
  with pytest.raises(UserError, match="mask_rate is 2.0"):
    build.build_objective(config, 100)


def test_rows_that_hosts_cannot_share_are_refused(tmp_path):
  with pytest.raises(UserError, match="does not divide among 3"):
    build.batch_spec(tiny_config(tmp_path), num_hosts=3)

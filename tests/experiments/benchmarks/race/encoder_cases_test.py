import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.models.encoders import ENCODERS
from experiments.benchmarks.race.encoder_cases import make_case
from experiments.benchmarks.race.encoder_cases import model_config
from experiments.benchmarks.race.encoder_cases import model_names


def test_every_model_has_a_case():
  # LiGR has no counterpart in transformers to race against.
  assert set(model_names()) == set(ENCODERS) - {"ligr"}


@pytest.mark.parametrize("model", model_names())
def test_our_config_has_the_sizes_of_the_case_and_no_dropout(model):
  case = make_case(model, dtype="bfloat16", tiny=True)
  config = model_config(case)
  assert config.dropout_rate == 0.0 and config.dtype == "bfloat16"
  assert config.time_encoding == "none" and config.max_segments == 1
  assert config.max_length == case["length"] == 128
  for name in ("num_layers", "embed_dim", "num_heads", "vocab_size"):
    assert getattr(config, name) == case[name]
  for name, value in case["own"].items():
    assert getattr(config, name) == value


def test_the_length_and_the_rows_can_be_chosen():
  case = make_case("bert", length=64, batch_size=3)
  assert (case["length"], case["batch_size"]) == (64, 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(model="gpt"), "model 'gpt'; known are bert, "),
        (dict(mode="both"), "mode 'both'; known are train, forward"),
        (dict(dtype="int8"), "dtype 'int8'; known are float32, bfloat16"),
        (dict(heads=["some"]), "heads .'some'.; known are masked, all"),
        (dict(heads=[]), "heads .*; known are masked, all"),
    ],
)
def test_an_unknown_value_is_named(settings, message):
  with pytest.raises(UserError, match=message):
    make_case(**(dict(model="bert") | settings))


def test_only_reformer_has_states_to_keep():
  case = make_case("reformer", keep_states=True)
  assert not model_config(case).reversible
  assert model_config(make_case("reformer")).reversible
  for model, mode in (("bert", "train"), ("reformer", "forward")):
    with pytest.raises(UserError, match="keep_states"):
      make_case(model, mode=mode, keep_states=True)

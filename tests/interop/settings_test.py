import dataclasses

import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.interop import settings
from behavior_lm.models.encoders import ENCODERS
from tests.interop.models import make
from tests.interop.models import their_config

NAMES = ("bert", "albert", "longformer")


def read(values, **changes):
  return settings.from_huggingface(values, "m/config.json", changes)


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_has_a_place(name):
  placed = (
      *settings.SIZES,
      *settings._TRANSLATED,
      *settings._FIXED,
      *settings.RECORDED,
  )
  fields = {field.name for field in dataclasses.fields(ENCODERS[name][1])}
  assert fields <= set(placed)


@pytest.mark.parametrize("name", NAMES)
def test_settings_come_back(name):
  config = make(name, num_token_types=3, norm_epsilon=1e-7).encoder.config
  values = settings.to_huggingface(name, config, head=True, pad_id=5)
  found = read(values)
  assert (found.name, found.config, found.pad_id) == (name, config, 5)
  assert found.tied


def test_settings_of_a_setting_that_nobody_knows_are_refused():
  @dataclasses.dataclass(frozen=True)
  class Winged(ENCODERS["bert"][1]):
    wings: int = 0

  values = dataclasses.asdict(make("bert").encoder.config)
  write = lambda config: settings.to_huggingface(
      "bert", config, head=True, pad_id=0
  )
  assert write(Winged(**values)) == write(make("bert").encoder.config)
  with pytest.raises(UserError, match="wings is 2, unknown there"):
    write(Winged(**values, wings=2))


def test_what_a_config_leaves_out_is_at_its_default():
  found = read(their_config("albert"))
  assert found.config.activation == "gelu_tanh"
  assert found.config.dropout_rate == 0.0
  found = read(their_config("bert"))
  assert found.config.activation == "gelu"
  assert found.config.dropout_rate == 0.1
  assert found.config.norm_epsilon == 1e-3
  values = their_config("longformer")
  del values["pad_token_id"]
  found = read(values)
  assert found.pad_id == 1 and found.config.max_length == 48


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("bert", {"model_type": "roberta"}, "model_type is 'roberta'"),
        ("bert", {"model_type": ["bert"]}, "model_type is "),
        ("longformer", {"num_hidden_layers": 2**31}, "10,000 at most"),
        ("bert", {"hidden_act": "relu"}, "hidden_act is 'relu'"),
        ("bert", {"is_decoder": True}, "is_decoder is True, here False"),
        (
            "bert",
            {"position_embedding_type": "relative_key"},
            "position_embedding_type is 'relative_key'",
        ),
        ("bert", {"hidden_size": "24"}, "hidden_size is '24', not a size"),
        ("bert", {"vocab_size": None}, "vocab_size is None, not a size"),
        ("bert", {"vocab_size": True}, "vocab_size is True, not a size"),
        ("bert", {"num_attention_heads": 5}, "5 does not divide hidden_size"),
        ("bert", {"pad_token_id": None}, "pad_token_id is None, not an id"),
        ("bert", {"layer_norm_eps": "tiny"}, "layer_norm_eps is 'tiny'"),
        ("bert", {"behavior_lm": 3}, "'behavior_lm' is damaged"),
        ("bert", {"behavior_lm": {"remat": 3}}, "'behavior_lm' is damaged"),
        ("bert", {"behavior_lm": {"remat": "x"}}, "remat is 'x'; known are"),
        (
            "bert",
            {"behavior_lm": {"position_encoding": "rotary"}},
            "position_encoding is 'rotary'; known are learned, sinusoid",
        ),
        ("bert", {"behavior_lm": {"max_segments": -3}}, "is -3, not a size"),
        ("bert", {"hidden_act": ["gelu"]}, "hidden_act is"),
        ("albert", {"num_hidden_groups": 2}, "num_hidden_groups is 2, here 1"),
        ("albert", {"inner_group_num": 2}, "inner_group_num is 2, here 1"),
        ("albert", {"embedding_size": 24}, "embedding_size is hidden_size"),
        ("longformer", {"hidden_act": "gelu_new"}, "hidden_act is 'gelu_new'"),
        ("longformer", {"attention_window": 7}, "attention_window is 7"),
        ("longformer", {"attention_window": [8, 8]}, "each of 3 layers"),
        ("longformer", {"attention_window": "8"}, "attention_window is '8'"),
        (
            "longformer",
            {"max_position_embeddings": 2},
            "leaves no token, the first has row 2",
        ),
    ],
)
def test_what_is_not_computed_here_is_named(name, changes, message):
  with pytest.raises(UserError, match=message) as caught:
    read(their_config(name, **changes))
  assert str(caught.value).startswith("m/config.json: ")


def test_all_wrong_settings_are_named_at_once():
  values = their_config("bert", hidden_act="relu", is_decoder=True)
  del values["vocab_size"]
  with pytest.raises(UserError) as caught:
    read(values)
  for name in ("hidden_act", "is_decoder", "vocab_size"):
    assert name in str(caught.value)


def test_a_window_is_halved():
  config = read(their_config("longformer")).config
  assert config.window_size == (4, 2, 4)
  same = their_config("longformer", attention_window=[8, 8, 8])
  assert read(same).config.window_size == 4

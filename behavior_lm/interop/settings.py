"""Settings of a model: ours and those of a Hugging Face config.json."""

from collections.abc import Mapping
import dataclasses
from typing import Any, NamedTuple

from behavior_lm.common.errors import UserError
from behavior_lm.interop.own_settings import check_own
from behavior_lm.interop.own_settings import OWN
from behavior_lm.interop.own_settings import POSITION_ENCODINGS
from behavior_lm.interop.own_settings import read_own
from behavior_lm.interop.own_settings import RECORDED
from behavior_lm.interop.own_settings import refuse
from behavior_lm.models.encoders import ENCODERS
from behavior_lm.models.encoders.config import EncoderConfig
from behavior_lm.models.encoders.config import MAX_LAYERS

# ours -> theirs, as they are.
SIZES = {
    "vocab_size": "vocab_size",
    "embed_dim": "hidden_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "mlp_dim": "intermediate_size",
}
# Settings with another form there, see `to_huggingface`.
_TRANSLATED = (
    "max_length",
    "embedding_dim",
    "dropout_rate",
    "activation",
    "norm_epsilon",
    "num_token_types",
    "window_size",
)
# What their models always do.
_FIXED = {
    "time_encoding": ("none",),
    "time_control": ("none",),
    "features": ((),),
    "position_encoding": POSITION_ENCODINGS,
    "norm_position": ("post",),
    "causal": (False,),
    "use_bias": (True,),
    "dilation": (1,),
    "num_experts": (0,),
    "ngram_order": (0,),
    "session_rows": (0,),
    "session_layers": (0,),
    "sentence_layers": (0,),
    "max_sentences": (0,),
    # Of experts and n-grams, so without a meaning here.
    "ngram_buckets": (32_768,),
    "top_k": (2,),
    "balance": ("bias",),
}
# What a caller may choose for a model from elsewhere.
CHANGEABLE = (
    "dropout_rate",
    "max_segments",
    "dtype",
    "remat",
    "scan_layers",
    "attention_backend",
)

_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
}
_WRITTEN_ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "gelu_new"}
_CLASSES = {"bert": "Bert", "albert": "Albert", "longformer": "Longformer"}
# Where a config.json leaves out what it leaves at its default.
_DEFAULTS = {
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "type_vocab_size": 2,
    "pad_token_id": 0,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "attention_window": 512,
    "tie_word_embeddings": True,
}
_OWN_DEFAULTS: dict[str, dict[str, Any]] = {
    "bert": {},
    "albert": {
        "hidden_act": "gelu_new",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    },
    "longformer": {"pad_token_id": 1},
}
# Theirs that change what is computed, with the one value that we compute.
_ONLY = {
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
    "num_hidden_groups": 1,
    "inner_group_num": 1,
}


class Settings(NamedTuple):
  """What a config.json says.

  Attributes:
    name: key of ENCODERS.
    config: of our model.
    pad_id: their id of padding; Longformer's positions start behind it.
    tied: whether their output table is the input table.
    unused: settings that nothing here uses, in words.
  """

  name: str
  config: EncoderConfig
  pad_id: int
  tied: bool
  unused: tuple[str, ...]


def first_position(name: str, pad_id: int) -> int:
  """Row of their position table that the first token of a sequence has."""
  return pad_id + 1 if name == "longformer" else 0


def to_huggingface(
    name: str, config: EncoderConfig, *, head: bool, pad_id: int
) -> dict[str, Any]:
  """config.json of a model.

  Args:
    name: key of ENCODERS.
    config: of the model.
    head: whether the masked-token head is exported too.
    pad_id: id of padding.

  Raises:
    UserError: naming each setting that has no counterpart there.
  """
  if name not in _CLASSES:
    raise UserError(
        f"model {name!r} has no counterpart that is written here; those of"
        f" {', '.join(_CLASSES)} have."
    )
  problems = _without_counterpart(name, config)
  if problems:
    raise UserError(
        f"this {name} cannot become a Hugging Face folder: "
        + "; ".join(problems)
        + ". These are fixed when a model is trained: see docs/interop.md."
    )
  out: dict[str, Any] = {
      "model_type": name,
      "architectures": [_CLASSES[name] + ("ForMaskedLM" if head else "Model")],
      **{theirs: getattr(config, ours) for ours, theirs in SIZES.items()},
      "max_position_embeddings": first_position(name, pad_id)
      + config.max_length,
      "hidden_dropout_prob": config.dropout_rate,
      # Ours drops no attention weights.
      "attention_probs_dropout_prob": 0.0,
      "hidden_act": _WRITTEN_ACTIVATIONS[config.activation],
      "layer_norm_eps": config.norm_epsilon,
      # Theirs have one type at least; a row of zeros adds nothing.
      "type_vocab_size": max(1, config.num_token_types),
      "pad_token_id": pad_id,
      "tie_word_embeddings": True,
      "dtype": "float32",
  }
  if name == "albert":
    out |= {
        "embedding_size": config.embedding_dim,
        "num_hidden_groups": 1,
        "inner_group_num": 1,
    }
  if name == "longformer":
    size = getattr(config, "window_size")  # noqa: B009 - of one class alone
    both = 2 * size if isinstance(size, int) else [2 * one for one in size]
    out["attention_window"] = both
  record = {field: getattr(config, field) for field in RECORDED}
  out[OWN] = record | {"token_types": config.num_token_types > 0}
  return out


def _without_counterpart(name: str, config: EncoderConfig) -> list[str]:
  """Settings that their model of this name cannot have."""
  problems = []
  for field in dataclasses.fields(config):
    value = getattr(config, field.name)
    if field.name in _FIXED:
      fixed = _FIXED[field.name]
      if field.name == "dilation" and not isinstance(value, int):
        value = 1 if set(value) == {1} else value
      if value not in fixed:
        allowed = " or ".join(map(repr, fixed))
        problems.append(f"{field.name} is {value!r}, there {allowed}")
    elif field.name not in (*SIZES, *_TRANSLATED, *RECORDED):
      # A new setting says here what becomes of it, or it keeps its default.
      if value != field.default:
        problems.append(f"{field.name} is {value!r}, unknown there")
  narrow = config.embedding_dim not in (None, config.embed_dim)
  if narrow != (name == "albert"):
    there = "narrower than embed_dim" if name == "albert" else "embed_dim"
    problems.append(
        f"embedding_dim is {config.embedding_dim!r}, there {there}"
    )
  if name == "longformer" and config.activation != "gelu":
    # Its head computes the exact GELU whatever the layers do.
    problems.append(f"activation is {config.activation!r}, there 'gelu'")
  sizes = getattr(config, "window_size", 1)
  if not isinstance(sizes, int) and any(max(sizes) % one for one in sizes):
    # Rows are padded there to what suits the largest window alone.
    problems.append(
        f"window_size is {sizes!r}, there sizes that divide the largest"
    )
  return problems


def from_huggingface(
    values: Mapping[str, Any], where: str, changes: Mapping[str, Any]
) -> Settings:
  """The settings in a config.json.

  Args:
    values: its content.
    where: its path, for messages.
    changes: settings of ours that a caller chose, see CHANGEABLE.

  Raises:
    UserError: naming each setting that our models cannot have.
  """
  name = values.get("model_type")
  if not isinstance(name, str) or name not in _CLASSES:
    raise UserError(
        f"{where}: model_type is {name!r}; read here are"
        f" {', '.join(_CLASSES)}."
    )
  refused = sorted(changes.keys() - set(CHANGEABLE))
  if refused:
    raise UserError(
        f"{', '.join(refused)}: decided by the weights in {where}; free are"
        f" {', '.join(CHANGEABLE)}."
    )
  values = {**_DEFAULTS, **_OWN_DEFAULTS[name], **values}
  _check_values(name, values, where)
  own = read_own(values, where)
  pad_id = values["pad_token_id"]
  rows = values["max_position_embeddings"]
  settings = {ours: values[theirs] for ours, theirs in SIZES.items()}
  settings |= dict(
      max_length=rows - first_position(name, pad_id),
      time_encoding="none",
      position_encoding="learned",
      norm_position="post",
      dropout_rate=float(values["hidden_dropout_prob"]),
      embedding_dim=values["embedding_size"] if name == "albert" else None,
      num_token_types=values["type_vocab_size"],
      norm_epsilon=values["layer_norm_eps"],
      activation=_ACTIVATIONS[values["hidden_act"]],
      # A sequence a row; packing more of them is our pipeline's.
      max_segments=1,
  )
  if name == "longformer":
    settings["window_size"] = _window_sizes(values)
  settings |= {field: own[field] for field in RECORDED if field in own}
  settings |= changes
  check_own(settings, where)
  config = ENCODERS[name][1](**settings)
  return Settings(
      name,
      config,
      pad_id,
      bool(values["tie_word_embeddings"]),
      _unused(values),
  )


def had_no_token_types(values: Mapping[str, Any]) -> bool:
  """Whether the table of token types was added by `to_huggingface`."""
  return values.get(OWN, {}).get("token_types") is False


def _unused(values: Mapping[str, Any]) -> tuple[str, ...]:
  found = []
  rate = values["attention_probs_dropout_prob"]
  if rate:
    found.append(
        f"attention_probs_dropout_prob {rate}: attention weights are not"
        " dropped here"
    )
  if values["type_vocab_size"] > 1:
    found.append(
        "token types after the first: kept, but every token has the first"
    )
  return tuple(found)


def _window_sizes(values: Mapping[str, Any]) -> int | tuple[int, ...]:
  """Keys on each side; one number where all layers have the same."""
  windows = values["attention_window"]
  if isinstance(windows, int):
    return windows // 2
  sizes = tuple(one // 2 for one in windows)
  return sizes[0] if len(set(sizes)) == 1 else sizes


def _check_values(name: str, values: Mapping[str, Any], where: str) -> None:
  problems = []
  sizes = [*SIZES.values(), "max_position_embeddings", "type_vocab_size"]
  if name == "albert":
    sizes.append("embedding_size")
  for field in sizes:
    if not _is_size(values.get(field)):
      problems.append(f"{field} is {values.get(field)!r}, not a size")
  depth = values.get("num_hidden_layers")
  if isinstance(depth, int) and depth > MAX_LAYERS:
    problems.append(
        f"num_hidden_layers is {depth}, here {MAX_LAYERS:,} at most"
    )
  pad_id = values["pad_token_id"]
  if type(pad_id) is not int or pad_id < 0:
    problems.append(f"pad_token_id is {pad_id!r}, not an id")
  for field in ("layer_norm_eps", "hidden_dropout_prob"):
    value = values[field]
    if not isinstance(value, int | float) or not 0 <= value < 1:
      problems.append(f"{field} is {value!r}, not a number from 0 to 1")
  act = values["hidden_act"]
  if not isinstance(act, str) or act not in _ACTIVATIONS:
    problems.append(f"hidden_act is {act!r}; known are {list(_ACTIVATIONS)}")
  elif name == "longformer" and act != "gelu":
    problems.append(f"hidden_act is {act!r}; a longformer's is 'gelu' here")
  for field, only in _ONLY.items():
    if values.get(field, only) != only:
      problems.append(f"{field} is {values[field]!r}, here {only!r}")
  refuse(problems, where)
  problems = []
  if values["hidden_size"] % values["num_attention_heads"]:
    problems.append(
        f"num_attention_heads {values['num_attention_heads']} does not divide"
        f" hidden_size {values['hidden_size']}"
    )
  if name == "albert" and values["embedding_size"] == values["hidden_size"]:
    problems.append(
        "embedding_size is hidden_size: the projection between them is not"
        " made here"
    )
  if name == "longformer":
    problems += _bad_windows(values)
    least = first_position(name, pad_id) + 1
    if values["max_position_embeddings"] < least:
      problems.append(
          f"max_position_embeddings {values['max_position_embeddings']} leaves"
          f" no token, the first has row {least - 1}"
      )
  refuse(problems, where)


def _bad_windows(values: Mapping[str, Any]) -> list[str]:
  windows = values["attention_window"]
  depth = values["num_hidden_layers"]
  each = [windows] * depth if isinstance(windows, int) else windows
  right = isinstance(each, list) and len(each) == depth
  if right and all(_is_size(one) and one % 2 == 0 for one in each):
    return []
  return [
      f"attention_window is {windows!r}, not an even number or one for each"
      f" of {depth} layers"
  ]


def _is_size(value: Any) -> bool:
  return type(value) is int and value > 0

"""Names and layouts of weights: ours and Hugging Face's, one table a model.

Our kernels are [in, out], theirs [out, in]; our projections to query, key and
value are one kernel, theirs are three.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np


class Part(NamedTuple):
  """A layer of ours and its counterpart.

  Attributes:
    kind: linear, norm, table or vector.
    ours: dotted path.
    theirs: several make one of ours, side by side.
  """

  kind: str
  ours: str
  theirs: tuple[str, ...]


class Architecture(NamedTuple):
  """All weights of a model.

  Attributes:
    prefix: of everything but the head, absent in folders of the encoder alone.
    embeddings: parts before the layers.
    layer_prefix: of a layer; "{}" is its number.
    layer: parts of one layer.
    head: parts of the masked-token head.
    copies: their names for the same tensor: {copy: original}.
  """

  prefix: str
  embeddings: tuple[Part, ...]
  layer_prefix: str
  layer: tuple[Part, ...]
  head: tuple[Part, ...]
  copies: dict[str, str]


class Weight(NamedTuple):
  """One array of ours and the tensors it is made of.

  Attributes:
    ours: dotted path.
    theirs: names.
    transposed: [out, in] there.
    skipped_rows: of theirs, before the first of ours.
  """

  ours: str
  theirs: tuple[str, ...]
  transposed: bool = False
  skipped_rows: int = 0


_EMBEDDINGS = (
    Part("table", "embed.token", ("embeddings.word_embeddings",)),
    Part("table", "embed.position", ("embeddings.position_embeddings",)),
    Part("table", "embed.token_type", ("embeddings.token_type_embeddings",)),
    Part("norm", "embed.norm", ("embeddings.LayerNorm",)),
)
_BERT_LAYER = (
    Part(
        "linear",
        "attention.qkv",
        (
            "attention.self.query",
            "attention.self.key",
            "attention.self.value",
        ),
    ),
    Part("linear", "attention.out", ("attention.output.dense",)),
    Part("norm", "attention_norm", ("attention.output.LayerNorm",)),
    Part("linear", "mlp_in", ("intermediate.dense",)),
    Part("linear", "mlp_out", ("output.dense",)),
    Part("norm", "mlp_norm", ("output.LayerNorm",)),
)
_ALBERT_LAYER = (
    Part(
        "linear",
        "attention.qkv",
        ("attention.query", "attention.key", "attention.value"),
    ),
    Part("linear", "attention.out", ("attention.dense",)),
    Part("norm", "attention_norm", ("attention.LayerNorm",)),
    Part("linear", "mlp_in", ("ffn",)),
    Part("linear", "mlp_out", ("ffn_output",)),
    Part("norm", "mlp_norm", ("full_layer_layer_norm",)),
)
_GLOBAL = (
    Part("linear", "attention.global_query", ("attention.self.query_global",)),
    Part(
        "linear",
        "attention.global_key_value",
        ("attention.self.key_global", "attention.self.value_global"),
    ),
)

ARCHITECTURES = {
    "bert": Architecture(
        prefix="bert.",
        embeddings=_EMBEDDINGS,
        layer_prefix="encoder.layer.{}.",
        layer=_BERT_LAYER,
        head=(
            Part("linear", "head.dense", ("cls.predictions.transform.dense",)),
            Part("norm", "head.norm", ("cls.predictions.transform.LayerNorm",)),
            Part("vector", "head.bias", ("cls.predictions.bias",)),
        ),
        copies={
            "cls.predictions.decoder.weight": (
                "bert.embeddings.word_embeddings.weight"
            ),
            "cls.predictions.decoder.bias": "cls.predictions.bias",
        },
    ),
    "albert": Architecture(
        prefix="albert.",
        embeddings=(
            *_EMBEDDINGS,
            Part(
                "linear",
                "embed.widen",
                ("encoder.embedding_hidden_mapping_in",),
            ),
        ),
        # One layer there as here, applied several times.
        layer_prefix="encoder.albert_layer_groups.{}.albert_layers.0.",
        layer=_ALBERT_LAYER,
        head=(
            Part("linear", "head.dense", ("predictions.dense",)),
            Part("norm", "head.norm", ("predictions.LayerNorm",)),
            Part("vector", "head.bias", ("predictions.bias",)),
        ),
        copies={
            "predictions.decoder.weight": (
                "albert.embeddings.word_embeddings.weight"
            ),
            "predictions.decoder.bias": "predictions.bias",
        },
    ),
    "longformer": Architecture(
        prefix="longformer.",
        embeddings=_EMBEDDINGS,
        layer_prefix="encoder.layer.{}.",
        layer=(*_BERT_LAYER, *_GLOBAL),
        head=(
            Part("linear", "head.dense", ("lm_head.dense",)),
            Part("norm", "head.norm", ("lm_head.layer_norm",)),
            Part("vector", "head.bias", ("lm_head.bias",)),
        ),
        copies={
            "lm_head.decoder.weight": (
                "longformer.embeddings.word_embeddings.weight"
            ),
            "lm_head.decoder.bias": "lm_head.bias",
        },
    ),
}

# What no model here has: the pooler behind the first token, heads for pairs of
# sentences, and positions 0, 1, 2, ... that old versions saved.
UNUSED = (
    "pooler.",
    "embeddings.position_ids",
    "embeddings.token_type_ids",
    "cls.seq_relationship.",
    "sop_classifier.",
)


def list_weights(
    name: str,
    num_layers: int,
    *,
    head: bool,
    prefixed: bool,
    first_position: int,
) -> list[Weight]:
  """All weights of a model.

  Args:
    name: key of ARCHITECTURES.
    num_layers: with weights of their own.
    head: with the masked-token head.
    prefixed: whether theirs start with the architecture's name.
    first_position: row of their position table for the first token.
  """
  model = ARCHITECTURES[name]
  prefix = model.prefix if prefixed else ""
  found = []
  for part in model.embeddings:
    skipped = first_position if part.ours == "embed.position" else 0
    found += _weights_of(part, "", prefix, skipped)
  for number in range(num_layers):
    theirs = prefix + model.layer_prefix.format(number)
    for part in model.layer:
      found += _weights_of(part, f"layers.{number}.", theirs)
  for part in model.head if head else ():
    found += _weights_of(part, "", "")
  return found


def _weights_of(
    part: Part, ours: str, theirs: str, skipped_rows: int = 0
) -> list[Weight]:
  """The arrays of one part; `ours` and `theirs` are prefixes."""

  def one(own: str, their: str, transposed: bool = False) -> Weight:
    return Weight(
        ours + part.ours + own,
        tuple(theirs + name + their for name in part.theirs),
        transposed,
        skipped_rows,
    )

  return {
      "linear": lambda: [
          one(".kernel", ".weight", transposed=True),
          one(".bias", ".bias"),
      ],
      "norm": lambda: [one(".scale", ".weight"), one(".bias", ".bias")],
      "table": lambda: [one(".embedding", ".weight")],
      "vector": lambda: [one("", "")],
  }[part.kind]()


def their_shapes(
    weight: Weight, shape: tuple[int, ...]
) -> dict[str, tuple[int, ...]]:
  """What an array of ours of this shape is there, {name: shape}."""
  *rest, last = shape
  one = (*rest, last // len(weight.theirs))
  one = (one[0] + weight.skipped_rows, *one[1:])
  one = one[::-1] if weight.transposed else one
  return dict.fromkeys(weight.theirs, one)


def to_theirs(weight: Weight, array: np.ndarray) -> dict[str, np.ndarray]:
  """An array of ours as tensors of theirs; skipped rows are zeros."""
  parts = np.split(array, len(weight.theirs), axis=-1)
  above = [(weight.skipped_rows, 0)] + [(0, 0)] * (array.ndim - 1)
  parts = [np.pad(part, above) for part in parts]
  return {
      name: part.T if weight.transposed else part
      for name, part in zip(weight.theirs, parts, strict=True)
  }


def to_ours(weight: Weight, tensors: Mapping[str, np.ndarray]) -> np.ndarray:
  """Tensors of theirs as an array of ours."""
  parts = [tensors[name] for name in weight.theirs]
  parts = [part.T if weight.transposed else part for part in parts]
  return np.concatenate(parts, axis=-1)[weight.skipped_rows :]

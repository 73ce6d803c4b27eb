"""Models to and from Hugging Face folders: BERT, ALBERT, Longformer.

  write_huggingface("served", model)
  model, config, *_ = read_huggingface("served")

Weights come back bit by bit, here and there; see docs/interop.md.
"""

from collections.abc import Mapping
import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

from flax import nnx
from flax import traverse_util
import jax.numpy as jnp
import numpy as np

from behavior_lm.common.errors import UserError
from behavior_lm.interop import settings
from behavior_lm.interop import weights
from behavior_lm.interop.folder import CONFIG
from behavior_lm.interop.folder import read_folder
from behavior_lm.interop.folder import write_folder
from behavior_lm.interop.weights import ARCHITECTURES
from behavior_lm.interop.weights import Weight
from behavior_lm.models.encoders import ENCODERS
from behavior_lm.models.encoders.config import EncoderConfig
from behavior_lm.models.language_model import LanguageModel
from behavior_lm.training.state import merge_model
from behavior_lm.training.state import split_model

# Types whose every value float32 holds exactly.
_EXACT = ("float32", "float16", "bfloat16")


class Imported(NamedTuple):
  """A model from a Hugging Face folder.

  Attributes:
    model: with the folder's weights.
    config: of the model.
    pad_id: the folder's id of padding.
    has_head: whether the folder has a masked-token head; without one the
      model's head is new, drawn with seed 0.
    unused: tensors and settings of the folder that nothing here uses.
  """

  model: LanguageModel
  config: EncoderConfig
  pad_id: int
  has_head: bool
  unused: tuple[str, ...]


def model_name(model: LanguageModel) -> str:
  """Key of ENCODERS.

  Raises:
    UserError: for a model of another class.
  """
  names: dict[type, str] = {
      known: name for name, (known, _) in ENCODERS.items()
  }
  encoder = model.encoder
  if name := names.get(type(encoder)):
    return name
  raise UserError(
      f"a {type(encoder).__name__} has no counterpart in transformers; those of"
      f" {sorted(ENCODERS)} may have."
  )


def write_huggingface(
    folder: str | Path,
    model: LanguageModel,
    *,
    head: bool = True,
    pad_id: int = 0,
) -> None:
  """Writes config.json and model.safetensors, as transformers reads them.

  Args:
    folder: made; an empty one is filled.
    model: a BERT, ALBERT or Longformer.
    head: False leaves out the masked-token head.
    pad_id: id of padding; 0 is that of our tokenizers.

  Raises:
    UserError: naming each setting that has no counterpart there, or if the
      folder is not empty.
  """
  name, config = model_name(model), model.encoder.config
  values = settings.to_huggingface(name, config, head=head, pad_id=pad_id)
  arrays = {
      path: np.asarray(array) for path, array in _flat(split_model(model)[1])
  }
  if not config.num_token_types:
    width = config.embedding_dim or config.embed_dim
    arrays["embed.token_type.embedding"] = np.zeros((1, width), np.float32)
  tensors: dict[str, np.ndarray] = {}
  for weight in weights.list_weights(
      name,
      len(model.encoder.layers),
      head=head,
      prefixed=head,
      first_position=settings.first_position(name, pad_id),
  ):
    tensors |= weights.to_theirs(weight, arrays.pop(weight.ours))
  left = [path for path in arrays if head or not path.startswith("head.")]
  if left:
    raise ValueError(f"parameters without a counterpart there: {left}")
  write_folder(folder, values, tensors)


def read_huggingface(folder: str | Path, **changes: Any) -> Imported:
  """Reads a model that transformers, or `write_huggingface`, wrote.

  Args:
    folder: with config.json and *.safetensors.
    **changes: settings of ours that the weights leave open, as `dtype` or
      `max_segments`; see `settings.CHANGEABLE`.

  Raises:
    UserError: naming each wrong setting, or each tensor that is missing,
      unknown or of a wrong shape or type.
  """
  values, tensors = read_folder(folder)
  found = settings.from_huggingface(values, f"{folder}/{CONFIG}", changes)
  name, config = found.name, found.config
  tensors = {_today(key): tensor for key, tensor in tensors.items()}
  architecture = ARCHITECTURES[name]
  heads = (*architecture.copies, *(p.theirs[0] for p in architecture.head))
  has_head = any(key.startswith(heads) for key in tensors)
  prefixed = any(key.startswith(architecture.prefix) for key in tensors)
  unused = [key for key in tensors if _is_unused(key, architecture.prefix)]
  for key in unused:
    del tensors[key]
  _drop_copies(architecture.copies, tensors, found, has_head, str(folder))
  make = lambda: LanguageModel(name, config, rngs=nnx.Rngs(0))
  graphdef, shapes, _ = split_model(nnx.eval_shape(make))
  listed = weights.list_weights(
      name,
      len(shapes["encoder"]["layers"]),
      head=has_head,
      prefixed=prefixed,
      first_position=settings.first_position(name, found.pad_id),
  )
  _check_tensors(listed, dict(_flat(shapes)), tensors, str(folder))
  arrays = {}
  for weight in listed:
    parts = {key: tensors[key].astype(np.float32) for key in weight.theirs}
    arrays[weight.ours] = jnp.asarray(weights.to_ours(weight, parts))
    if weight.skipped_rows:
      unused.append(f"{weight.theirs[0]}: its first {weight.skipped_rows} rows")
  types = "embed.token_type.embedding"
  if settings.had_no_token_types(values) and not arrays[types].any():
    # The row of zeros that `write_huggingface` added.
    del arrays[types]
    config = dataclasses.replace(config, num_token_types=0)
    graphdef, shapes, _ = split_model(nnx.eval_shape(make))
  if not has_head:
    head = split_model(make())[1]["head"]
    arrays |= {f"head.{path}": array for path, array in _flat(head)}
  params = traverse_util.unflatten_dict({
      path: arrays[_dotted(path)]
      for path in traverse_util.flatten_dict(shapes)
  })
  return Imported(
      model=merge_model(graphdef, params, {}),
      config=config,
      pad_id=found.pad_id,
      has_head=has_head,
      unused=(*sorted(unused), *found.unused),
  )


def _flat(params: Mapping[str, Any]) -> list[tuple[str, Any]]:
  """Arrays by dotted paths, those of the encoder without its name."""
  flat = traverse_util.flatten_dict(params)
  return [(_dotted(path), leaf) for path, leaf in flat.items()]


def _dotted(path: tuple[Any, ...]) -> str:
  return ".".join(map(str, path)).removeprefix("encoder.")


def _today(key: str) -> str:
  """Norms of the first BERTs have a gamma and a beta."""
  if key.endswith(".gamma"):
    return key.removesuffix("gamma") + "weight"
  return key.removesuffix("beta") + "bias" if key.endswith(".beta") else key


def _is_unused(key: str, prefix: str) -> bool:
  return key.removeprefix(prefix).startswith(weights.UNUSED)


def _drop_copies(
    copies: Mapping[str, str],
    tensors: dict[str, np.ndarray],
    found: settings.Settings,
    has_head: bool,
    folder: str,
) -> None:
  """Removes second names of tensors, which must hold the same."""
  table = next(key for key in copies if key.endswith(".weight"))
  if has_head and not found.tied and table not in tensors:
    raise UserError(
        f"{folder}: tie_word_embeddings is false, but there is no {table}."
    )
  for copy, original in copies.items():
    if copy not in tensors:
      continue
    tensor = tensors.pop(copy)
    if original not in tensors:
      tensors[original] = tensor
    elif not np.array_equal(tensor, tensors[original]):
      raise UserError(
          f"{folder}: {copy} differs from {original}. Here the output table is"
          " the input table; such a model cannot be read."
      )


def _check_tensors(
    listed: list[Weight],
    shapes: Mapping[str, Any],
    tensors: Mapping[str, np.ndarray],
    folder: str,
) -> None:
  expected: dict[str, tuple[int, ...]] = {}
  for weight in listed:
    expected |= weights.their_shapes(weight, shapes[weight.ours].shape)
  problems = []
  for key, shape in expected.items():
    if key not in tensors:
      problems.append(f"{key}: missing")
    elif tensors[key].shape != shape:
      problems.append(
          f"{key}: has the shape {tensors[key].shape}, {CONFIG} asks for"
          f" {shape}"
      )
    elif tensors[key].dtype.name not in _EXACT:
      problems.append(
          f"{key}: is of {tensors[key].dtype.name}, known are"
          f" {', '.join(_EXACT)}"
      )
  problems += [
      f"{key}: unknown" for key in sorted(tensors.keys() - expected.keys())
  ]
  if problems:
    lines = "".join(f"\n  {problem}" for problem in problems)
    raise UserError(f"{folder}: the tensors are not this model's:{lines}")

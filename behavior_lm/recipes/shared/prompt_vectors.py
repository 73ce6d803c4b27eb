"""Vectors of prompts by a frozen language model, kept on disk."""

from collections.abc import Callable, Mapping, Sequence
import functools
import hashlib
from pathlib import Path
from typing import Any

import jax
import numpy as np

from behavior_lm.common.files import whole_file
from behavior_lm.common.progress import CommandProgress
from behavior_lm.data.pipeline import BatchSpec
from behavior_lm.data.prompts.prompt_rows import encode_prompts
from behavior_lm.data.prompts.prompt_rows import prompt_rows
from behavior_lm.evaluation.label_scores import run_rows
from behavior_lm.recipes.shared import language
from behavior_lm.recipes.shared.language import PromptModel
from behavior_lm.training.sharding import make_mesh
from behavior_lm.training.state import merge_model

# Prompts of one file of the cache; a killed run repeats no more than these.
_CHUNK = 2_048


def prompt_vectors(
    model: PromptModel,
    prompts: Sequence[str],
    cache: str | Path,
    *,
    max_length: int,
    batch_size: int = 8,
    row_length: int = 128,
) -> np.ndarray:
  """The pooled states of each prompt.

  A chunk of prompts is read from the cache if this very model has read these
  very tokens before, whoever asked.

  Args:
    model: see `shared.language`.
    prompts: texts.
    cache: folder of the vectors, made if absent; one file per chunk.
    max_length: tokens of a prompt at most.
    batch_size, row_length: of the packed rows that the model reads.

  Returns:
    [n, embed_dim] float32.
  """
  folder = Path(cache)
  folder.mkdir(parents=True, exist_ok=True)
  tokens = encode_prompts(
      prompts,
      model.tokenizer,
      max_length,
      soft_ids=language.soft_ids(model.config),
  )
  spec = BatchSpec(
      batch_size=batch_size,
      max_length=max(row_length, max_length),
      max_segments=model.config.data.max_segments,
  )
  starts = range(0, len(tokens), _CHUNK)
  progress = CommandProgress()
  found, embed = [], make_embedder(model, spec)
  try:
    for number, start in enumerate(starts, 1):
      chunk = tokens[start : start + _CHUNK]
      path = folder / f"{_key(model, chunk)}.npy"
      if not path.exists():
        vectors = embed(chunk)
        with whole_file(path) as temporary, temporary.open("wb") as file:
          np.save(file, vectors, allow_pickle=False)
        progress.stage("vectors of prompts", number, len(starts))
      found.append(np.load(path, allow_pickle=False))
  finally:
    progress.close()
  return np.concatenate(found)


def make_embedder(
    model: PromptModel, spec: BatchSpec
) -> Callable[[Sequence[np.ndarray]], np.ndarray]:
  """A function of tokens of prompts to vectors [n, embed_dim] float32."""
  names = language.encoder_config(model.config).fields
  mesh = make_mesh()

  @jax.jit
  def program(
      params: Any, model_state: Any, batch: Mapping[str, jax.Array]
  ) -> jax.Array:
    with jax.default_matmul_precision("float32"):
      vectors: jax.Array = merge_model(
          model.graphdef, params, model_state
      ).pool(batch)
      return vectors

  def embed(tokens: Sequence[np.ndarray]) -> np.ndarray:
    rows = prompt_rows(
        tokens,
        np.zeros((len(tokens), 1)),
        max_length=spec.max_length,
        max_segments=spec.segments,
        train=False,
    )
    return run_rows(
        functools.partial(program, model.params, model.model_state),
        rows,
        spec,
        names,
        mesh,
        shape=(len(tokens), model.config.model.embed_dim),
    )

  return embed


def _key(model: PromptModel, tokens: Sequence[np.ndarray]) -> str:
  """Hash of all that the vectors of some prompts follow from."""
  digest = hashlib.sha256(model.fingerprint.encode())
  for one in tokens:
    digest.update(np.int64(len(one)).tobytes())
    digest.update(np.ascontiguousarray(one).tobytes())
  return digest.hexdigest()[:32]

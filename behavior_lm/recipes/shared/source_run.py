"""The pretrained run that a fine-tuned one stands on."""

import contextlib
import hashlib
from pathlib import Path

import jax
import numpy as np

from behavior_lm.common.errors import UserError
from behavior_lm.training.checkpoint import Checkpoints
from behavior_lm.training.loop import CHECKPOINTS
from behavior_lm.training.sharding import path_name


def encoder_params(run: str | Path) -> dict[str, np.ndarray]:
  """The parameters of the encoder of a pretrained run, by their paths.

  Raises:
    UserError: if the run has no checkpoint, or no encoder.
  """
  saved = Path(run) / CHECKPOINTS
  if not saved.is_dir():
    raise UserError(
        f"{run}: the pretrained run, which the fine-tuned one stands on, has no"
        " checkpoints (any more). Put it back, or train again."
    )
  with contextlib.closing(Checkpoints(saved, keep=None)) as checkpoints:
    tree = checkpoints.restore_anything()
  leaves = jax.tree_util.tree_leaves_with_path(tree.get("encoder", {}))
  return {path_name(keys): np.asarray(leaf) for keys, leaf in leaves}


def hash_params(params: dict[str, np.ndarray]) -> str:
  """SHA-256 of parameters by their paths."""
  digest = hashlib.sha256()
  for path, leaf in sorted(params.items()):
    digest.update(path.encode())
    digest.update(np.ascontiguousarray(leaf).tobytes())
  return digest.hexdigest()

"""Parameters of a new run that come from other runs, subtree by subtree."""

from collections.abc import Mapping
import contextlib
from pathlib import Path
from typing import Any

import jax
import numpy as np

from behavior_lm.common.errors import UserError
from behavior_lm.training.checkpoint import Checkpoints


def restore_subtrees(
    params: dict[str, Any], shardings: Any, sources: Mapping[str, str]
) -> dict[str, Any]:
  """Replaces subtrees of the parameters by those of other runs.

  Args:
    params: of the new run, on its devices.
    shardings: of each leaf.
    sources: {path: run folder}, {"encoder": "runs/gate"}, {"encoder/embed":
      ...}. The subtree has the same path there. Empty folders are passed over.

  Returns:
    The parameters; those that no source names are the same as before.

  Raises:
    UserError: if a run has no such subtree, or it is of another shape.
  """
  for path, run in sources.items():
    if not run:
      continue
    saved = Path(run) / "checkpoints"
    if not saved.is_dir():
      raise UserError(
          f"init_from.{path}: {run} has no checkpoints; name a run folder that"
          " was trained."
      )
    with contextlib.closing(Checkpoints(saved, keep=None)) as source:
      found = _subtree(source.restore_anything(), path, run)
    old = _subtree(params, path, "this run")
    _check_fit(old, found, path, run)
    place = _subtree(shardings, path, "this run")
    params = _with_subtree(
        params, path.split("/"), jax.tree.map(jax.device_put, found, place)
    )
  return params


def _subtree(tree: Any, path: str, owner: str) -> Any:
  for key in path.split("/"):
    if not isinstance(tree, Mapping):
      tree = {}
    keys = {str(name): name for name in tree}
    if key not in keys:
      raise UserError(
          f"init_from.{path}: {owner} has no parameters {path!r}; at"
          f" {key!r} it has {', '.join(sorted(keys)) or 'none'}."
      )
    tree = tree[keys[key]]
  return tree


def _with_subtree(tree: Any, keys: list[str], new: Any) -> Any:
  if not keys:
    return new
  name = {str(name): name for name in tree}[keys[0]]
  return tree | {name: _with_subtree(tree[name], keys[1:], new)}


def _check_fit(old: Any, new: Any, path: str, run: str) -> None:
  shapes = [
      {jax.tree_util.keystr(k): np.shape(x) for k, x in leaves}
      for leaves in map(jax.tree_util.tree_leaves_with_path, (old, new))
  ]
  ours, theirs = shapes
  different = sorted(
      key
      for key in ours.keys() | theirs.keys()
      if ours.get(key) != theirs.get(key)
  )
  if different:
    key = different[0]
    raise UserError(
        f"init_from.{path}: {run} does not fit this model in"
        f" {len(different)} parameters, such as {key}: {theirs.get(key)} there,"
        f" {ours.get(key)} here. Use the model settings of that run."
    )

"""Parameters of a new run that come from other runs, subtree by subtree."""

from collections.abc import Mapping
import contextlib
from pathlib import Path
import re
from typing import Any

import jax
import numpy as np

from behavior_lm.common.errors import UserError
from behavior_lm.training.checkpoint import Checkpoints
from behavior_lm.training.sharding import path_name

# The path of a whole model.
WHOLE = "model"


def restore_subtrees(
    params: dict[str, Any],
    shardings: Any,
    sources: Mapping[str, str],
    new: str = "",
    grow: str = "",
) -> dict[str, Any]:
  """Replaces subtrees of the parameters by those of other runs.

  Args:
    params: of the new run, on its devices.
    shardings: of each leaf.
    sources: {path: run folder}, {"encoder": "runs/gate"}, {"encoder/embed":
      ...}. The subtree has the same path there; the path "model" is all
      parameters, of the best checkpoint if one was kept. Empty folders are
      passed over.
    new: regular expression; parameters whose path in a subtree it is found in
      are none of the other run's, and stay as they are. Empty is none.
    grow: regular expression; tables whose path in a subtree it is found in may
      have more rows here than there: the first rows are the other run's.

  Returns:
    The parameters; those that no source names are the same as before.

  Raises:
    UserError: if a run has no such subtree, or it is of another shape.
  """
  for path, run in sources.items():
    if not run:
      continue
    saved = Path(run) / "checkpoints"
    best = Path(run) / "checkpoints_best"
    if path == WHOLE and best.is_dir():
      saved = best  # What a whole model is used with.
    if not saved.is_dir():
      raise UserError(
          f"init_from.{path}: {run} has no checkpoints; name a run folder that"
          " was trained."
      )
    with contextlib.closing(Checkpoints(saved, keep=None)) as source:
      found = _subtree(source.restore_anything(), path, run)
    ours = _by_path(_subtree(params, path, "this run"))
    arrays = _by_path(found)
    if new:
      arrays |= {key: x for key, x in ours.items() if re.search(new, key)}
    if grow:
      arrays |= {
          key: _grown(arrays[key], x)
          for key, x in ours.items()
          if key in arrays and re.search(grow, key)
      }
    _check_fit(ours, arrays, path, run)
    restored = jax.tree_util.tree_map_with_path(
        lambda keys, place, arrays=arrays: jax.device_put(
            arrays[path_name(keys)], place
        ),
        _subtree(shardings, path, "this run"),
    )
    params = _with_subtree(params, _keys(path), restored)
  return params


def _grown(theirs: Any, ours: jax.Array) -> Any:
  """Their rows, and behind them those that only ours has."""
  rows, shape = np.shape(theirs)[:1], np.shape(theirs)[1:]
  if shape != ours.shape[1:] or not rows or rows[0] >= ours.shape[0]:
    return theirs
  return np.concatenate([np.asarray(theirs), np.asarray(ours)[rows[0] :]])


def _keys(path: str) -> list[str]:
  return [] if path == WHOLE else path.split("/")


def _subtree(tree: Any, path: str, owner: str) -> Any:
  for key in _keys(path):
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


def _by_path(tree: Any) -> dict[str, Any]:
  """Arrays by their path; a number among the keys may have become a text."""
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  return {path_name(keys): leaf for keys, leaf in leaves}


def _check_fit(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], path: str, run: str
) -> None:
  shape = lambda tree, key: np.shape(tree[key]) if key in tree else None
  different = sorted(
      key
      for key in ours.keys() | theirs.keys()
      if shape(ours, key) != shape(theirs, key)
  )
  if different:
    key = different[0]
    raise UserError(
        f"init_from.{path}: {run} does not fit this model in"
        f" {len(different)} parameters, such as {key}: {shape(theirs, key)}"
        f" there, {shape(ours, key)} here. Use the model settings of that run."
    )

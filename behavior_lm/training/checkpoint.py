"""Checkpoints with Orbax: parameters, optimiser, data iterator, meta.

The model (parameters and its other variables) is an item of its own, so that
inference reads nothing else. An item of checksums says whether what is read is
what was saved; checkpoints of older versions lack it and are not checked.
Restores go into the shardings of the running mesh, never the saved ones.
"""

from collections.abc import Callable
import copy
from pathlib import Path
import re
import sys
from typing import Any, TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp

from behavior_lm.common.errors import first_line
from behavior_lm.common.errors import UserError
from behavior_lm.training import checksums
from behavior_lm.training.orbax_traces import hide_traces
from behavior_lm.training.state import TrainState

_MODEL = ("params", "model_state")
# What a checkpoint raises that does not fit, is cut off or lacks a part.
_UNREADABLE = (
    ValueError, KeyError, TypeError, AttributeError, OSError, RuntimeError,
)  # fmt: skip
_Read = TypeVar("_Read")
_REST = ("opt_state", "objective_state", "step")
_SUMS = "checksums"


class Checkpoints:
  """The checkpoints of one run folder.

  A save becomes visible by a rename at its end: a killed save leaves nothing
  that a restore would read.

  Args:
    folder: made if absent.
    keep: so many of the last checkpoints; None keeps all.
    leave_out: regular expression; parameters whose path it is found in are
      not saved, and a restore leaves them as they are given.
  """

  def __init__(
      self, folder: str | Path, *, keep: int | None = 2, leave_out: str = ""
  ) -> None:
    hide_traces()
    self.folder = Path(folder).absolute()
    self._leave_out = leave_out
    try:
      self._manager = ocp.CheckpointManager(
          self.folder,
          options=ocp.CheckpointManagerOptions(max_to_keep=keep, create=True),
      )
    except (ValueError, TypeError, KeyError) as error:
      raise UserError(
          f"{self.folder}: what describes its checkpoints is damaged"
          f" ({first_line(error)}). Delete the file _CHECKPOINT_METADATA of"
          " the damaged step: the step can be read without it."
      ) from error

  def latest_step(self) -> int | None:
    return self._manager.latest_step()

  def save(
      self, state: TrainState, data: dict[str, Any], meta: dict[str, Any]
  ) -> None:
    """Saves in the background what state, data and meta are at this moment.

    Nothing is done if the step is saved already.

    Args:
      state: the state after a step; its arrays may be donated afterwards.
      data, meta: JSON values; they may be changed afterwards.
    """
    step = int(state["step"])
    if step in self._manager.all_steps():
      return
    # Orbax copies arrays before it returns; JSON it writes some time later.
    data, meta = copy.deepcopy((data, meta))
    model, rest = self._saved(state), {name: state[name] for name in _REST}
    sums = checksums.of_arrays(model | rest)
    sums |= {"data": checksums.of_json(data), "meta": checksums.of_json(meta)}
    self._manager.save(
        step,
        args=ocp.args.Composite(
            model=ocp.args.StandardSave(model),
            rest=ocp.args.StandardSave(rest),
            data=ocp.args.JsonSave(data),
            meta=ocp.args.JsonSave(meta),
            **{_SUMS: ocp.args.JsonSave(sums)},
        ),
    )

  def restore(
      self, state: TrainState, shardings: Any, step: int | None = None
  ) -> tuple[TrainState, dict[str, Any], dict[str, Any]]:
    """The whole state, placed as `shardings` say.

    Args:
      state: a state (or its shapes) of the same model and optimiser; where
        parameters are left out, it holds their values.
      shardings: of each leaf on the present mesh.
      step: a saved step; the last one when None.

    Returns:
      state, data iterator state, meta.

    Raises:
      UserError: if there is no such checkpoint or it does not fit. If the
        last one is damaged, the one before it is taken, a warning says so, and
        the damaged one is moved out of the folder.
    """
    target = _abstract(state, shardings)

    def read(step: int) -> tuple[TrainState, dict[str, Any], dict[str, Any]]:
      restored = self._manager.restore(
          step,
          args=ocp.args.Composite(
              model=ocp.args.StandardRestore(self._saved(target)),
              rest=ocp.args.StandardRestore(
                  {name: target[name] for name in _REST}
              ),
              data=ocp.args.JsonRestore(),
              meta=ocp.args.JsonRestore(),
          ),
      )
      out = {**restored["model"], **restored["rest"]}
      data, meta = restored["data"], restored["meta"]
      self._check(
          step,
          checksums.of_arrays(out)
          | {"data": checksums.of_json(data), "meta": checksums.of_json(meta)},
      )
      out["params"] = _joined(state["params"], out["params"])
      return out, data, meta

    last = self.latest_step()
    found, restored = self._read(step, read)
    if step is None:
      self._move_away([s for s in self._manager.all_steps() if s > found])
      if found != last:
        self._manager.reload()
    return restored

  def restore_model(
      self,
      params: Any,
      model_state: Any,
      step: int | None = None,
  ) -> tuple[Any, Any, int]:
    """The model alone, on the first device, for inference.

    Args:
      params, model_state: shapes, see `state.split_model`; arrays where
        parameters are left out.
      step: a saved step; the last one when None.

    Returns:
      parameters, other variables, the step.

    Raises:
      UserError: if there is no such checkpoint or it does not fit.
    """
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    tree = {"params": params, "model_state": model_state}
    target = _abstract(tree, jax.tree.map(lambda _: device, tree))
    args = ocp.args.StandardRestore(self._saved(target))
    step, found = self._read(step, lambda step: self._item(step, args))
    return _joined(params, found["params"]), found["model_state"], step

  def restore_anything(self, step: int | None = None) -> dict[str, Any]:
    """The parameters of a model that nobody described, as NumPy arrays."""
    params: dict[str, Any] = self._undescribed("model", "params", step)
    return params

  def restore_objective(self, step: int | None = None) -> dict[str, Any]:
    """The objective's state, as NumPy arrays; {} if it has none."""
    return dict(self._undescribed("rest", "objective_state", step) or {})

  def _undescribed(self, item: str, name: str, step: int | None) -> Any:
    """A part of an item whose shapes nobody gave, as NumPy arrays."""
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])

    def read(step: int) -> Any:
      # Orbax would restore them where they were saved, on devices that this
      # machine may not have.
      with ocp.StandardCheckpointer() as reader:
        about = reader.metadata(self.folder / str(step) / item)
      target = jax.tree.map(
          lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device),
          about.item_metadata.tree,
      )
      args = ocp.args.StandardRestore(target)
      restored = self._manager.restore(
          step, args=ocp.args.Composite(**{item: args})
      )
      found = restored[item].get(name)
      self._check(step, checksums.of_arrays({name: found}))
      return found

    _, found = self._read(step, read)
    return jax.tree.map(np.asarray, found)

  def _saved(self, state: dict[str, Any]) -> dict[str, Any]:
    """What the item of the model holds."""
    saved = {name: state[name] for name in _MODEL}
    if self._leave_out:
      keep = lambda path: not re.search(self._leave_out, path)
      saved["params"] = _pruned(saved["params"], keep)
    return saved

  def _item(self, step: int, args: Any) -> dict[str, Any]:
    restored = self._manager.restore(step, args=ocp.args.Composite(model=args))
    found: dict[str, Any] = {name: restored["model"][name] for name in _MODEL}
    self._check(step, checksums.of_arrays(found))
    return found

  def _check(self, step: int, found: dict[str, list[Any]]) -> None:
    """Raises ValueError where what was found is not what was saved."""
    if not (self.folder / str(step) / _SUMS).exists():
      return
    saved = self._manager.restore(
        step, args=ocp.args.Composite(**{_SUMS: ocp.args.JsonRestore()})
    )[_SUMS]
    if other := checksums.changed(saved, found):
      more = f" and {len(other) - 1} more" * (len(other) > 1)
      raise ValueError(
          f"what is in its files has changed since it was saved ({other[0]}"
          f"{more})"
      )

  def _read(
      self, step: int | None, read: Callable[[int], _Read]
  ) -> tuple[int, _Read]:
    """Reads a step, or the newest one that is whole, and says so.

    Returns:
      The step, and what `read` gave.

    Raises:
      UserError: if there is no such step, or none can be read.
    """
    steps = [self._existing(step)]
    if step is None:
      steps = sorted(self._manager.all_steps(), reverse=True)
    failures: list[UserError] = []
    for tried in steps:
      try:
        found = read(tried)
      except _UNREADABLE as error:
        failures.append(_unreadable(self.folder, tried, error))
        failures[-1].__cause__ = error
        continue
      for failure in failures:
        print(f"warning: {failure}", file=sys.stderr)
      if failures:
        print(
            f"warning: {self.folder}: continuing with checkpoint {tried}"
            " instead.",
            file=sys.stderr,
        )
      return tried, found
    raise failures[0]

  def _move_away(self, steps: list[int]) -> None:
    """Makes room for steps that will be saved again; nothing is deleted."""
    for step in steps:
      new = self.folder.with_name(f"{self.folder.name}-damaged-{step}")
      number = 1
      while new.exists():
        number += 1
        new = new.with_name(
            f"{self.folder.name}-damaged-{step}-{number}"
        )
      (self.folder / str(step)).rename(new)
      print(f"warning: moved {self.folder / str(step)} to {new}.",
            file=sys.stderr)

  def wait(self) -> None:
    self._manager.wait_until_finished()

  def close(self) -> None:
    self._manager.wait_until_finished()
    self._manager.close()

  def _existing(self, step: int | None) -> int:
    steps = sorted(self._manager.all_steps())
    if not steps:
      raise UserError(f"{self.folder}: no finished checkpoint in this folder.")
    if step is not None and step not in steps:
      raise UserError(f"{self.folder}: no step {step}; saved are {steps}.")
    return steps[-1] if step is None else step


def _pruned(
    tree: Any, keep: Callable[[str], bool], path: tuple[str, ...] = ()
) -> Any:
  """The leaves of nested dicts whose path is kept; no empty dicts."""
  found = {}
  for name, value in tree.items():
    at = (*path, str(name))
    if isinstance(value, dict):
      if part := _pruned(value, keep, at):
        found[name] = part
    elif keep("/".join(at)):
      found[name] = value
  return found


def _joined(whole: Any, part: Any) -> Any:
  """`whole` with the leaves that `part` has."""
  if not isinstance(whole, dict):
    return part
  return {
      name: _joined(value, part[name]) if name in part else value
      for name, value in whole.items()
  }


def _abstract(tree: Any, shardings: Any) -> Any:
  return jax.tree.map(
      lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
      tree,
      shardings,
  )


def _unreadable(folder: Path, step: int, error: Exception) -> UserError:
  return UserError(
      f"{folder}: checkpoint {step} does not fit this model, or is damaged:"
      f" {first_line(error)}. Use the config that wrote it; if the checkpoint"
      f" is damaged, delete {folder}/{step} to resume from the previous one."
  )

"""Checkpoints with Orbax: parameters, optimiser, data iterator, meta.

The model (parameters and its other variables) is an item of its own, so that
inference reads nothing else.
Restores go into the shardings of the running mesh, never the saved ones.
"""

import copy
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from behavior_lm.common.errors import UserError
from behavior_lm.training.state import TrainState

_MODEL = ("params", "model_state")
_REST = ("opt_state", "objective_state", "step")


class Checkpoints:
  """The checkpoints of one run folder.

  A save becomes visible by a rename at its end: a killed save leaves nothing
  that a restore would read.
  """

  def __init__(self, folder: str | Path, *, keep: int | None = 2) -> None:
    self.folder = Path(folder).absolute()
    self._manager = ocp.CheckpointManager(
        self.folder,
        options=ocp.CheckpointManagerOptions(max_to_keep=keep, create=True),
    )

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
    self._manager.save(
        step,
        args=ocp.args.Composite(
            model=ocp.args.StandardSave({name: state[name] for name in _MODEL}),
            rest=ocp.args.StandardSave({name: state[name] for name in _REST}),
            data=ocp.args.JsonSave(data),
            meta=ocp.args.JsonSave(meta),
        ),
    )

  def restore(
      self, state: TrainState, shardings: Any, step: int | None = None
  ) -> tuple[TrainState, dict[str, Any], dict[str, Any]]:
    """The whole state, placed as `shardings` say.

    Args:
      state: a state (or its shapes) of the same model and optimiser.
      shardings: of each leaf on the present mesh.
      step: a saved step; the last one when None.

    Returns:
      state, data iterator state, meta.

    Raises:
      UserError: if there is no such checkpoint or it does not fit.
    """
    step = self._existing(step)
    target = _abstract(state, shardings)
    try:
      restored = self._manager.restore(
          step,
          args=ocp.args.Composite(
              model=ocp.args.StandardRestore(
                  {name: target[name] for name in _MODEL}
              ),
              rest=ocp.args.StandardRestore(
                  {name: target[name] for name in _REST}
              ),
              data=ocp.args.JsonRestore(),
              meta=ocp.args.JsonRestore(),
          ),
      )
    except (ValueError, KeyError, TypeError, OSError) as error:
      raise _unreadable(self.folder, step, error) from error
    out = {**restored["model"], **restored["rest"]}
    return out, restored["data"], restored["meta"]

  def restore_model(
      self,
      params: Any,
      model_state: Any,
      step: int | None = None,
  ) -> tuple[Any, Any]:
    """The model alone, on the first device, for inference.

    Args:
      params, model_state: shapes, see `state.split_model`.
      step: a saved step; the last one when None.

    Returns:
      parameters, other variables.

    Raises:
      UserError: if there is no such checkpoint or it does not fit.
    """
    step = self._existing(step)
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    tree = {"params": params, "model_state": model_state}
    target = _abstract(tree, jax.tree.map(lambda _: device, tree))
    found = self._restore_item(step, ocp.args.StandardRestore(target))
    return found["params"], found["model_state"]

  def restore_anything(self, step: int | None = None) -> dict[str, Any]:
    """The parameters of a model that nobody described, as NumPy arrays."""
    step = self._existing(step)
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    # Orbax would restore them where they were saved, on devices that this
    # machine may not have.
    with ocp.StandardCheckpointer() as reader:
      about = reader.metadata(self.folder / str(step) / "model")
    target = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device),
        about.item_metadata.tree,
    )
    found = self._restore_item(step, ocp.args.StandardRestore(target))
    params: dict[str, Any] = jax.tree.map(np.asarray, found["params"])
    return params

  def _restore_item(self, step: int, args: Any) -> dict[str, Any]:
    try:
      restored = self._manager.restore(
          step, args=ocp.args.Composite(model=args)
      )
    except (ValueError, KeyError, TypeError, OSError) as error:
      raise _unreadable(self.folder, step, error) from error
    found: dict[str, Any] = restored["model"]
    return found

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


def _abstract(tree: Any, shardings: Any) -> Any:
  return jax.tree.map(
      lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
      tree,
      shardings,
  )


def _unreadable(folder: Path, step: int, error: Exception) -> UserError:
  first_line = str(error).strip().splitlines()[0] if str(error) else repr(error)
  return UserError(
      f"{folder}: checkpoint {step} does not fit this model, or is damaged:"
      f" {first_line}. Use the config that wrote it; if the checkpoint is"
      f" damaged, delete {folder}/{step} to resume from the previous one."
  )

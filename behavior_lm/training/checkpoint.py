"""Checkpoints with Orbax: parameters, optimiser, data iterator, meta.

The parameters are an item of their own, so that inference reads nothing else.
Restores go into the shardings of the running mesh, never the saved ones.
"""

import copy
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from behavior_lm.common.errors import UserError
from behavior_lm.training.state import TrainState

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
            params=ocp.args.StandardSave(state["params"]),
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
              params=ocp.args.StandardRestore(target["params"]),
              rest=ocp.args.StandardRestore(
                  {name: target[name] for name in _REST}
              ),
              data=ocp.args.JsonRestore(),
              meta=ocp.args.JsonRestore(),
          ),
      )
    except (ValueError, KeyError, TypeError, OSError) as error:
      raise _unreadable(self.folder, step, error) from error
    out = {"params": restored["params"], **restored["rest"]}
    return out, restored["data"], restored["meta"]

  def restore_params(
      self, params: Any, shardings: Any = None, step: int | None = None
  ) -> Any:
    """The parameters alone, for inference and `init_from`."""
    step = self._existing(step)
    if shardings is None:
      device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
      shardings = jax.tree.map(lambda _: device, params)
    target = _abstract(params, shardings)
    try:
      restored = self._manager.restore(
          step,
          args=ocp.args.Composite(params=ocp.args.StandardRestore(target)),
      )
    except (ValueError, KeyError, TypeError, OSError) as error:
      raise _unreadable(self.folder, step, error) from error
    return restored["params"]

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
      f" {first_line}. Use the config that wrote it; if it is damaged, the run"
      f" goes on from the one before once folder {step} is deleted."
  )

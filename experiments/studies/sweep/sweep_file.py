"""A file of experiments/ablations: what is compared, and why."""

from collections.abc import Mapping
import dataclasses
import importlib.util
from pathlib import Path
from typing import Any

import ml_collections

from behavior_lm.common.command_flags import unknown_keys
from behavior_lm.common.errors import UserError
from configs.pretrain import get_config

Row = tuple[str, Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Sweep:
  """Runs that differ in what is studied alone.

  Attributes:
    name: of the file.
    hypothesis: its docstring: what is expected, and what would refute it.
    rows: name -> (argument of configs/pretrain.py, {key: value} that differ).
    control: the row that the others are compared with.
    minutes: of training, each; 0 leaves it to the command.
  """

  name: str
  hypothesis: str
  rows: Mapping[str, Row]
  control: str
  minutes: float = 0.0


def read_sweep(path: str | Path) -> Sweep:
  """Reads a Python file with a docstring, SWEEP, CONTROL and MINUTES.

  The file is a program, as a config is: run no file of strangers.

  Raises:
    UserError: if it is not there, or lacks one of them.
  """
  path = Path(path)
  spec = importlib.util.spec_from_file_location(path.stem, path)
  if not path.is_file() or spec is None or spec.loader is None:
    raise UserError(f"--sweep {path}: is no Python file.")
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  rows: Any = getattr(module, "SWEEP", None)
  control: Any = getattr(module, "CONTROL", None)
  if not module.__doc__ or not isinstance(rows, dict) or control not in rows:
    raise UserError(
        f"--sweep {path}: needs a docstring (the hypothesis), SWEEP = {{name:"
        " (argument of configs/pretrain.py, {key: value})} and CONTROL, a name"
        " in it."
    )
  return Sweep(
      path.stem,
      module.__doc__.strip(),
      rows,
      control,
      float(getattr(module, "MINUTES", 0.0)),
  )


def make_config(
    sweep: Sweep,
    row: str,
    *,
    data: str,
    seed: int,
    argument: str = "",
) -> ml_collections.ConfigDict:
  """The config of one run, but for its steps.

  Args:
    sweep: of the row.
    row: its name.
    data: the dataset folder.
    seed: of the run.
    argument: more of the config's argument, for all rows: size=tiny.

  Raises:
    UserError: if the row sets what the config does not have.
  """
  own, changes = sweep.rows[row]
  config = get_config(",".join(part for part in (own, argument) if part))
  config.data.path = data
  config.seed = seed
  if wrong := unknown_keys(list(changes), config):
    raise UserError(f"row {row!r} of {sweep.name}: {wrong}")
  config.update_from_flattened_dict(dict(changes))
  return config

"""The training loop, top to bottom. It knows no tokens: a recipe does."""

from collections.abc import Mapping
import contextlib
from pathlib import Path
import time
from typing import Any

import jax
import ml_collections
import numpy as np

from behavior_lm.artifacts.metrics import MetricWriter
from behavior_lm.artifacts.metrics import run_logger
from behavior_lm.artifacts.metrics import Window
from behavior_lm.artifacts.run_folder import config_hash
from behavior_lm.common.errors import UserError
from behavior_lm.common.progress import duration
from behavior_lm.common.progress import Progress
from behavior_lm.common.signals import Interrupt
from behavior_lm.training import sharding
from behavior_lm.training.checkpoint import Checkpoints
from behavior_lm.training.init_from import restore_subtrees
from behavior_lm.training.optimizer import optimizer_of
from behavior_lm.training.recipe import Recipe
from behavior_lm.training.selection import Selection
from behavior_lm.training.state import count_params
from behavior_lm.training.state import init_state
from behavior_lm.training.step import compile_step
from behavior_lm.training.step import make_train_step
from behavior_lm.training.step import SKIPPED

CHECKPOINTS = "checkpoints"
BEST = "checkpoints_best"


def train(
    recipe: Recipe, config: ml_collections.ConfigDict, folder: Path
) -> str:
  """Trains, or goes on with, the run in a run folder.

  Args:
    recipe: what is trained on what.
    config: the keys that every config has, see configs/common.py.
    folder: a run folder; checkpoints in it are resumed. Otherwise
      `config.init_from` gives subtrees of the parameters, the rest is new.

  Returns:
    "finished", "stopped" (by a signal), "time" (`max_minutes` is over) or
    "early" (`keep_best.patience` is over); the state is saved in each case.

  Raises:
    UserError: if the state cannot be restored or too many updates in a row
      were refused because they were not finite.
  """
  with contextlib.ExitStack() as opened:
    return _train(recipe, config, folder, opened)


def _train(
    recipe: Recipe,
    config: ml_collections.ConfigDict,
    folder: Path,
    opened: contextlib.ExitStack,
) -> str:
  progress = Progress(config.total_steps, run_logger(folder))
  opened.callback(progress.close)
  batches = recipe.batches(jax.process_index(), jax.process_count())
  opened.callback(batches.close)

  # Mesh, state and step.
  mesh = sharding.make_mesh(config.mesh.data, config.mesh.model)
  schedule, optimizer = optimizer_of(config)
  graphdef, state, shardings = init_state(
      recipe.make_model, optimizer, recipe.objective, config.seed, mesh
  )
  train_step = compile_step(
      make_train_step(
          graphdef, recipe.objective, optimizer, schedule, config.seed
      ),
      shardings,
      mesh,
  )

  # resume > init_from > scratch; what checkpoints leave out is init_from's.
  leave_out = config.optim.freeze if config.checkpoint_trained_only else ""
  checkpoints = Checkpoints(
      folder / CHECKPOINTS,
      keep=config.checkpoints_to_keep,
      leave_out=leave_out,
  )
  opened.callback(checkpoints.close)
  meta: dict[str, Any] = {"seconds": 0.0, "refused": 0}
  resumes = checkpoints.latest_step() is not None
  if any(config.init_from.values()) and (leave_out or not resumes):
    state["params"] = restore_subtrees(
        state["params"],
        shardings["params"],
        config.init_from.to_dict(),
        new=config.init_new,
        grow=config.get("init_grow", ""),
    )
    progress.say(f"parameters from {config.init_from.to_dict()}")
  if resumes:
    state, data_state, meta = checkpoints.restore(state, shardings)
    batches.set_state(data_state)
    progress.say(f"resumed {folder} at step {int(state['step']):,}")
  window, selection = Window(meta.get("window")), _selection(config, meta)
  best = None
  if selection.metric:
    best = Checkpoints(folder / BEST, keep=1, leave_out=leave_out)
    opened.callback(best.close)
  first_step = int(state["step"])
  progress.say(
      f"{count_params(state['params']) / 1e6:.2f} M parameters,"
      f" {recipe.describe()}, {mesh.size} device(s), config"
      f" {config_hash(config)}"
  )
  _say_sharding(progress, state["params"], shardings["params"], mesh)
  evaluators = recipe.make_evaluators(graphdef, mesh)

  # The loop. Metrics are read a step late, so that the host prepares the next
  # batch while the device computes; before anything is logged, evaluated or
  # saved, they are read up to the present step.
  writer = MetricWriter(folder, resume_step=first_step)
  opened.callback(writer.close)
  outcome, started, last_log = "finished", time.monotonic(), time.monotonic()
  pending: list[tuple[int, Any, dict[str, np.ndarray]]] = []
  work: dict[str, float] = {}
  refused, steps_since_log = meta["refused"], 0

  def seconds() -> float:
    return float(meta["seconds"]) + time.monotonic() - started

  # A run that was stopped early is not trained again.
  total_steps = first_step if selection.is_over else config.total_steps
  outcome = "early" if selection.is_over else outcome
  with Interrupt() as interrupt:
    for step in range(first_step + 1, total_steps + 1):
      batch = next(batches)
      state, metrics = train_step(state, sharding.put_batch(batch, mesh))
      pending.append((step, metrics, batch))
      for unit, amount in recipe.work(batch).items():
        work[unit] = work.get(unit, 0.0) + amount
      steps_since_log += 1

      is_last = step == config.total_steps
      logs = is_last or step % config.log_every == 0
      due = {
          name: evaluator
          for name, evaluator in evaluators.items()
          if evaluator.every and (is_last or step % evaluator.every == 0)
      }
      if interrupt.requested:
        outcome = "stopped"
      elif config.max_minutes and seconds() > 60 * config.max_minutes:
        outcome = "time"
      ends = is_last or outcome != "finished"
      saves = ends or step % config.checkpoint_every == 0

      up_to_date = logs or due or saves
      while len(pending) > (0 if up_to_date else 1):
        refused = _read(pending.pop(0), window, refused, config, folder)
      if logs:
        rate = steps_since_log / max(time.monotonic() - last_log, 1e-9)
        means = window.means() | {
            f"{unit}_per_second": rate * amount / steps_since_log
            for unit, amount in work.items()
        }
        means["epoch"] = _epoch(recipe, step)
        means["seconds"] = seconds()
        writer.write(step, means)
        progress.show(step, means, (config.total_steps - step) / rate)
        window, work, steps_since_log = Window(), {}, 0
        last_log = time.monotonic()
      paused = time.monotonic()
      for name, evaluator in due.items():
        figures = dict(evaluator.run(state))
        writer.write(step, {f"eval/{name}/{k}": v for k, v in figures.items()})
        progress.say(f"step {step:,} {name}: {_text(figures)}")
        if selection.see(step, name, figures) and best is not None:
          best.save(state, {}, {"figures": figures})
      # Steps before and after an evaluation share the next line's speed.
      last_log += time.monotonic() - paused
      if selection.is_over and not ends:
        outcome, ends, saves = "early", True, True
      if saves:
        checkpoints.save(
            state,
            batches.get_state(),
            {
                "window": window.to_json(),
                "selection": selection.to_json(),
                "seconds": seconds(),
                "refused": refused,
            },
        )
      if ends:
        break

  checkpoints.wait()
  last = int(state["step"])
  reason, next_time = {
      "finished": ("finished", ""),
      "stopped": (
          f"stopped by {interrupt.requested}",
          ". The same command resumes it.",
      ),
      "time": (
          f"stopped after {config.max_minutes:g} minutes (max_minutes)",
          ". A larger --config.max_minutes, or 0, resumes it.",
      ),
      "early": (
          f"stopped early, {selection.metric} is best at step"
          f" {selection.step:,} ({selection.value})",
          "",
      ),
  }[outcome]
  progress.say(
      f"{reason} at step {last:,} after {duration(seconds())}, the data was"
      f" passed {_epoch(recipe, last):.2f} times; saved in {folder}{next_time}"
  )
  return outcome


def _read(
    done: tuple[int, Any, dict[str, np.ndarray]],
    window: Window,
    refused: int,
    config: ml_collections.ConfigDict,
    folder: Path,
) -> int:
  """Counts the metrics of a step; returns the updates refused in a row."""
  step, metrics, batch = done
  values = {name: float(x) for name, x in jax.device_get(metrics).items()}
  is_refused = values.pop(SKIPPED) > 0
  window.add(values, skipped=is_refused)
  if not is_refused:
    return 0
  if refused + 1 < config.max_skipped:
    return refused + 1
  path = folder / f"refused_batch_{step}.npz"
  np.savez(path, allow_pickle=False, **batch)
  raise UserError(
      f"loss or gradient was not finite in {refused + 1} steps in a row, the"
      f" last is step {step} (loss {values['loss']}, grad_norm"
      f" {values['grad_norm']}). These updates were refused, and the last good"
      f" checkpoint is kept; the batch is in {path}. Lower"
      " --config.optim.learning_rate."
  )


def _selection(
    config: ml_collections.ConfigDict, meta: Mapping[str, Any]
) -> Selection:
  return Selection(**config.keep_best.to_dict(), content=meta.get("selection"))


def _epoch(recipe: Recipe, step: int) -> float:
  """How often the data was passed."""
  shapes = recipe.batch_shapes()
  rows = max(shape[0] for shape, _ in shapes.values())
  return step * rows / recipe.rows_per_epoch


def _say_sharding(
    progress: Progress, params: Any, shardings: Any, mesh: jax.sharding.Mesh
) -> None:
  if mesh.size == 1:
    return
  for row in sharding.describe(params, shardings):
    progress.say(
        f"  {row['sharding']}: {row['leaves']} arrays of"
        f" {row['numbers'] / 1e6:.2f} M numbers by rule {row['rule']!r}, the"
        f" largest is {row['largest']}"
    )


def _text(figures: Mapping[str, float]) -> str:
  return "  ".join(f"{name} {value:.4f}" for name, value in figures.items())

"""The training loop, top to bottom."""

from collections.abc import Callable, Iterable, Mapping
import contextlib
import math
from pathlib import Path
import time
from typing import Any, Protocol

import jax
import ml_collections

from behavior_lm.artifacts.metrics import MetricWriter
from behavior_lm.artifacts.metrics import run_logger
from behavior_lm.artifacts.metrics import Window
from behavior_lm.artifacts.run_folder import CONFIG
from behavior_lm.artifacts.run_folder import config_hash
from behavior_lm.artifacts.run_folder import open_run
from behavior_lm.common.errors import UserError
from behavior_lm.common.progress import duration
from behavior_lm.common.progress import Progress
from behavior_lm.common.signals import Interrupt
from behavior_lm.data.pipeline import make_loader
from behavior_lm.data.pipeline import padding_share
from behavior_lm.logs.dataset import open_dataset
from behavior_lm.recipes import pretrain as build
from behavior_lm.recipes.checks import check_config
from behavior_lm.training.checkpoint import Checkpoints
from behavior_lm.training.sharding import make_mesh
from behavior_lm.training.sharding import put_batch
from behavior_lm.training.state import count_params
from behavior_lm.training.state import init_state
from behavior_lm.training.step import compile_step
from behavior_lm.training.step import make_train_step


class Evaluator(Protocol):
  """What a run asks of an evaluator."""

  def run(self, params: Any) -> Iterable[tuple[str, float]]: ...


def train(
    config: ml_collections.ConfigDict,
    workdir: str | Path,
    make_evaluators: Callable[..., Mapping[str, Evaluator]] | None = None,
) -> str:
  """Trains, or goes on with, the run in `workdir`.

  Args:
    config: see configs/pretrain.py.
    workdir: the run folder; one that holds checkpoints of this config is
      resumed. Otherwise `config.init_from` gives the parameters and the
      tokenizer, otherwise they are new.
    make_evaluators: function of (config, dataset, tokenizer, graphdef, mesh)
      to a dict of evaluators, called at `eval.every` steps.

  Returns:
    "finished", "stopped" (by a signal) or "time" (`max_minutes` is over);
    the state is saved in each case.

  Raises:
    UserError: for a config or folder that cannot be trained.
  """
  with contextlib.ExitStack() as opened:
    return _train(config, Path(workdir), make_evaluators, opened)


def _train(
    config: ml_collections.ConfigDict,
    folder: Path,
    make_evaluators: Callable[..., Mapping[str, Evaluator]] | None,
    opened: contextlib.ExitStack,
) -> str:
  # Run folder, data and tokenizer.
  if not config.data.path:
    raise UserError(
        "no dataset: set --config.data.path to a folder that"
        " experiments/prepare.py wrote."
    )
  dataset = open_dataset(config.data.path)
  build.complete_config(config, dataset)
  check_config(config, dataset, is_new=not (folder / CONFIG).exists())
  tokenizer = open_run(config, folder, dataset)
  progress = Progress(config.total_steps, run_logger(folder))
  opened.callback(progress.close)
  windows = build.build_windows(config, dataset, tokenizer, config.data.split)
  hosts = jax.process_count()
  spec = build.batch_spec(config, hosts)
  loader = make_loader(
      windows, spec, host_index=jax.process_index(), num_hosts=hosts
  )
  iterator = iter(loader)
  opened.callback(iterator.close)

  # Mesh, state and step.
  mesh = make_mesh(config.mesh.data, config.mesh.model)
  make_model = build.build_model(config, tokenizer.vocab_size)
  objective = build.build_objective(config, tokenizer.vocab_size)
  schedule, optimizer = build.build_optimizer(config)
  graphdef, state, shardings = init_state(
      make_model, optimizer, objective, config.seed, mesh
  )
  train_step = compile_step(
      make_train_step(graphdef, objective, optimizer, schedule, config.seed),
      shardings,
      mesh,
  )

  # resume > init_from > scratch.
  checkpoints = Checkpoints(
      folder / "checkpoints", keep=config.checkpoints_to_keep
  )
  opened.callback(checkpoints.close)
  window, seconds_before = Window(), 0.0
  if checkpoints.latest_step() is not None:
    state, data_state, meta = checkpoints.restore(state, shardings)
    iterator.set_state(data_state)
    window, seconds_before = Window(meta["window"]), meta["seconds"]
    progress.say(f"resumed {folder} at step {int(state['step']):,}")
  elif config.init_from:
    with contextlib.closing(
        Checkpoints(Path(config.init_from) / "checkpoints", keep=None)
    ) as source:
      state["params"] = source.restore_params(
          state["params"], shardings["params"]
      )
    progress.say(f"parameters and tokenizer from {config.init_from}")
  first_step = int(state["step"])
  progress.say(
      f"{config.model.name}: {count_params(state['params']) / 1e6:.2f} M"
      f" parameters, vocabulary {tokenizer.vocab_size:,},"
      f" {windows.num_tokens.sum():,} tokens in"
      f" {len(windows):,} windows an epoch, {mesh.size} device(s),"
      f" config {config_hash(config)}"
  )
  evaluators: Mapping[str, Evaluator] = {}
  if make_evaluators and config.eval.every:
    evaluators = make_evaluators(config, dataset, tokenizer, graphdef, mesh)

  # The loop.
  writer = MetricWriter(folder, resume_step=first_step)
  opened.callback(writer.close)
  tokens_per_step = config.data.batch_size * config.data.max_length
  outcome, started, last_log = "finished", time.monotonic(), time.monotonic()
  steps_since_log = 0

  def seconds() -> float:
    return seconds_before + time.monotonic() - started

  with Interrupt() as interrupt:
    for step in range(first_step + 1, config.total_steps + 1):
      batch = next(iterator)
      state, metrics = train_step(state, put_batch(batch, mesh))
      # Before anything is saved: a bad state must not push out a good one.
      _check_finite(metrics, step, checkpoints.folder)
      window.add(metrics | {"padding_share": padding_share(batch)})
      steps_since_log += 1
      if step % config.log_every == 0 or step == config.total_steps:
        means = window.means()
        rate = steps_since_log / max(time.monotonic() - last_log, 1e-9)
        means["events_per_second"] = rate * means.pop("num_events")
        means["tokens_per_second"] = rate * tokens_per_step
        means["perplexity"] = math.exp(min(means["loss"], 700.0))
        means["seconds"] = seconds()
        writer.write(step, means)
        progress.show(step, means, (config.total_steps - step) / rate)
        window, steps_since_log, last_log = Window(), 0, time.monotonic()
      if config.eval.every and step % config.eval.every == 0:
        paused = time.monotonic()
        for name, evaluator in evaluators.items():
          values = dict(evaluator.run(state["params"]))
          writer.write(step, {f"eval/{k}": v for k, v in values.items()})
          progress.say(
              f"step {step:,} {name}: "
              + "  ".join(f"{k} {v:.4f}" for k, v in values.items())
          )
        # Steps before and behind share the next line's speed.
        last_log += time.monotonic() - paused
      if interrupt.requested:
        outcome = "stopped"
      elif config.max_minutes and seconds() > 60 * config.max_minutes:
        outcome = "time"
      ends = outcome != "finished" or step == config.total_steps
      if ends or step % config.checkpoint_every == 0:
        meta = {"window": window.to_json(), "seconds": seconds()}
        checkpoints.save(state, iterator.get_state(), meta)
      if ends:
        break

  checkpoints.wait()
  reason, next_time = {
      "finished": ("finished", ""),
      "stopped": (
          f"stopped by {interrupt.requested}", ". The same command goes on."
      ),
      "time": (
          f"stopped after {config.max_minutes:g} minutes (max_minutes)",
          ". It goes on with a larger --config.max_minutes, or 0.",
      ),
  }[outcome]
  progress.say(
      f"{reason} at step {int(state['step']):,} after {duration(seconds())};"
      f" saved in {folder}{next_time}"
  )
  return outcome


def _check_finite(
    metrics: Mapping[str, Any], step: int, checkpoints: Path
) -> None:
  """A step whose loss or gradient is no number has spoilt the parameters."""
  for name in ("loss", "grad_norm"):
    if not math.isfinite(metrics[name]):
      raise UserError(
          f"{name} is {float(metrics[name])} at step {step}; the last good"
          f" checkpoint is kept in {checkpoints}. Lower"
          " --config.optim.learning_rate."
      )

"""Runs of a study, trained for the same time or steps and scored alike.

A study folder holds a folder for each run (its plan, its run folder, its
scores, and result.json, written last) and the baselines' scores. Each step is
done once; a study that was stopped goes on where it was.
"""

from collections.abc import Callable, Mapping
import json
from pathlib import Path
from typing import Any

import jax
import ml_collections

from behavior_lm.artifacts.run_folder import as_saved
from behavior_lm.artifacts.run_folder import config_hash
from behavior_lm.artifacts.run_folder import load_config
from behavior_lm.artifacts.run_folder import WATCHING
from behavior_lm.artifacts.scores import kept
from behavior_lm.common.errors import UserError
from behavior_lm.common.files import write_whole
from behavior_lm.logs.dataset import Dataset
from behavior_lm.recipes.evaluate import score_run
from behavior_lm.recipes.shared.loading import load_run
from behavior_lm.recipes.train import train
from behavior_lm.training.state import count_params
from experiments.studies import equal_time

RESULT = "result.json"
SCORES = "scores.npz"
# The same run, asked for what the run over chains of events is asked for.
SPANS = "scores_under_spans.npz"
# Nothing in the table depends on these settings; on `evals` it does.
_WATCHING = set(WATCHING) - {"evals"}


def finish_run(
    name: str,
    config: ml_collections.ConfigDict,
    study: Path,
    dataset: Dataset,
    *,
    minutes: float,
    probe_steps: int,
    say: Callable[[str], None],
    first_seed: str | None = None,
    code: str = "",
    steps: int = 0,
) -> bool:
  """Does what is left of a run: probe, training, scores.

  Args:
    name: of the run, and of its folder.
    config: of the run; its steps follow from the time.
    study: the study's folder.
    dataset: of `config.data.path`; scored as `config.evals.test` says.
    minutes, probe_steps: see `equal_time.plan_steps`.
    steps: train for so many, whatever time they take.
    say: takes lines of progress.
    first_seed: the run that this one repeats with another seed, for as many
      steps if that one has been planned.
    code: the version of the code, told with the result.

  Returns:
    False if a signal stopped it.

  Raises:
    UserError: if a finished run was made by other settings, of another
      dataset or for another time; or the run cannot be trained.
  """
  folder, run = study / name, study / name / equal_time.RUN
  if (folder / RESULT).exists():
    _check_finished(folder, config, minutes, steps)
    say(f"{name}: done already")
    return True
  if not steps:
    say(f"{name}: how many steps fit in {minutes:g} minutes")
  plan = equal_time.plan_steps(
      config,
      folder,
      minutes=minutes,
      probe_steps=probe_steps,
      like=None if first_seed is None else study / first_seed,
      steps=steps,
  )
  if plan is None:
    return False
  say(f"{name}: {plan['total_steps']:,} steps")
  config = equal_time.fit(config, plan)
  if not run.exists():
    # Of a run that was moved away.
    for name_of in (SCORES, SPANS):
      (folder / name_of).unlink(missing_ok=True)
  if train(config, run) != "finished":
    return False
  say(f"{name}: scoring")
  kept(
      folder / SCORES,
      lambda: {name: score_run(run, dataset, "test")},
  )
  loaded = load_run(run)
  result = {
      "name": name,
      "model": config.model.name,
      "tokens": loaded.tokenizer.kind,
      "vocab_size": loaded.tokenizer.vocab_size,
      "length": config.data.max_length,
      "rows": config.data.batch_size,
      "seed": config.seed,
      "num_params": count_params(loaded.params),
      "config_hash": config_hash(config),
      "code": code,
      "planned": plan,
      **equal_time.facts(run),
  }
  write_whole(folder / RESULT, json.dumps(result, indent=1) + "\n")
  # The next run starts with the memory that this one had.
  jax.clear_caches()
  return True


def finished(study: Path, names: list[str]) -> list[dict[str, Any]]:
  """The results of those runs that are finished, in the order of `names`."""
  paths = [study / name / RESULT for name in names]
  return [json.loads(path.read_text()) for path in paths if path.exists()]


def _check_finished(
    folder: Path,
    config: ml_collections.ConfigDict,
    minutes: float,
    steps: int,
) -> None:
  """A finished run is taken if it was made as it would be made now."""
  plan = equal_time.plan_steps(
      config, folder, minutes=minutes, probe_steps=0, steps=steps
  )
  assert plan is not None  # It is read.
  different = _differing(
      load_config(folder / equal_time.RUN).to_dict(),
      as_saved(equal_time.fit(config, plan)),
  )
  if different:
    raise UserError(
        f"{folder}: holds a run of other settings: {', '.join(different)}."
        " Move it away to train that run again, or use another --workdir."
    )


def _differing(
    old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = ""
) -> list[str]:
  """Dotted names of settings with other values.

  What only one of them has is a setting that came or went with the code, and
  no reason to train again.
  """
  out = []
  for name in sorted(old.keys() & new.keys()):
    one, other = old[name], new[name]
    if f"{prefix}{name}" in _WATCHING:
      continue
    if isinstance(one, Mapping) and isinstance(other, Mapping):
      out += _differing(one, other, f"{prefix}{name}.")
    # JSON knows no tuple.
    elif json.dumps(one) != json.dumps(other):
      out.append(f"{prefix}{name} ({one!r} there, {other!r} now)")
  return out

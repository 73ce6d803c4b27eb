"""The tables of a study of encoders, from the runs that are finished."""

from collections.abc import Callable, Mapping
import json
from pathlib import Path
from typing import Any

import numpy as np

from behavior_lm.artifacts.run_folder import load_config
from behavior_lm.artifacts.scores import kept
from behavior_lm.artifacts.scores import load_scores
from behavior_lm.artifacts.scores import SequenceScores
from behavior_lm.baselines.count_baselines import FULL_CONTEXT
from behavior_lm.baselines.count_baselines import SAME_INFORMATION
from behavior_lm.baselines.count_baselines import score_baselines
from behavior_lm.common.errors import UserError
from behavior_lm.data.tokenizers import load_tokenizer
from behavior_lm.data.tokenizers import Tokenizer
from behavior_lm.evaluation import table
from behavior_lm.logs.dataset import Dataset
from behavior_lm.recipes.evaluate import score_run
from experiments.studies import equal_time
from experiments.studies.timed_runs import SCORES
from experiments.studies.timed_runs import SPANS

# Perplexity, accuracy and bits per event.
COLUMNS = table.TOKEN_COLUMNS[:3]
_BASELINES = "baselines"
Scores = dict[str, SequenceScores]


def make_result(
    study: Path,
    runs: list[dict[str, Any]],
    dataset: Dataset,
    siblings: Mapping[str, str],
    say: Callable[[str], None],
) -> dict[str, Any]:
  """The tables of finished runs.

  Args:
    study: the study's folder.
    runs: of `timed_runs.finished`, at least one.
    dataset: that they were trained on and are scored on.
    siblings: run over chains of events -> the same model over single events.
    say: takes lines of progress.

  Returns:
    `groups`: one for each tokenizer, its `rows` those of `table.make_rows`
    with what each run did; `same_events`: rows of models over single events
    and over chains, asked for the same hidden events.

  Raises:
    UserError: if the runs differ in time, size, split, mask or dataset.
  """
  _check_alike(study, runs, dataset)
  first = load_config(study / runs[0]["name"] / equal_time.RUN)
  split = first.evals.test.split
  facts = dataset.meta["splits"][split]
  result: dict[str, Any] = {
      "split": split,
      "data_fingerprint": dataset.meta["fingerprint"],
      "num_events": facts["num_events"],
      "num_users": facts["num_users"],
      "mask_rate": first.evals.test.mask_rate,
      "mask_seed": first.evals.test.mask_seed,
      "minutes": runs[0]["planned"]["minutes"],
      "groups": [],
      "same_events": [],
  }
  groups: dict[str, list[dict[str, Any]]] = {}
  for run in runs:
    groups.setdefault(_tokenizer(study, run).fingerprint, []).append(run)
  for group in groups.values():
    result["groups"].append(_group(study, group, dataset, say))
  by_name = {run["name"]: run for run in runs}
  for chained, single in siblings.items():
    if chained in by_name and single in by_name:
      result["same_events"] += _same_events(
          study, by_name[chained], by_name[single], dataset, say
      )
  return result


def best_runs(result: Mapping[str, Any], names: list[str]) -> list[str]:
  """`names`, the fewest bits per event first; all of one tokenizer."""
  bits = {
      row["model"]: row["values"]["bits_per_event"]
      for group in result["groups"]
      for row in group["rows"]
  }
  return sorted(names, key=lambda name: bits[name])


def _group(
    study: Path,
    runs: list[dict[str, Any]],
    dataset: Dataset,
    say: Callable[[str], None],
) -> dict[str, Any]:
  """Rows of the runs of one tokenizer, and of its baselines."""
  models: Scores = {}
  for run in runs:
    models |= load_scores(study / run["name"] / SCORES)
  baselines = _baselines(study, runs[0], dataset, None, say)
  reference = baselines[SAME_INFORMATION]
  for name, scores in models.items():
    if not np.array_equal(scores.count, reference.count):
      raise UserError(
          f"{study / name}/{SCORES}: was not scored on the masked tokens of"
          " the baselines. Move the run away to train it again."
      )
  seeds = {run["name"]: run["seed"] for run in runs}
  fair = {k: v for k, v in baselines.items() if k != FULL_CONTEXT}
  rows = table.make_rows(
      models,
      fair,
      {FULL_CONTEXT: baselines[FULL_CONTEXT]},
      columns=COLUMNS,
      seeds=seeds,
  )
  best = min(models, key=lambda name: models[name].summary()["bits_per_event"])
  for row, run in zip(rows, runs, strict=False):
    run_folder = study / run["name"] / equal_time.RUN
    row["run"] = run
    row["curve"] = equal_time.curve(run_folder)
    if run["name"] != best:
      row["difference_to_best"] = table.difference(
          models[run["name"]], models[best], table.TOKEN_MAIN
      )
  return {
      "tokens": runs[0]["tokens"],
      "vocab_size": runs[0]["vocab_size"],
      "num_masked": int(reference.count.sum()),
      "num_hidden_events": int(reference.num_events.sum()),
      "best": best,
      "rows": rows,
  }


def _same_events(
    study: Path,
    chained: dict[str, Any],
    single: dict[str, Any],
    dataset: Dataset,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
  """A model over chains and over single events, and neighbours over both."""
  chains = _tokenizer(study, chained)
  run = study / single["name"] / equal_time.RUN
  path = study / single["name"] / SPANS

  def score() -> Scores:
    say(f"{single['name']}: scoring under the spans of {chained['name']}")
    scores = score_run(run, dataset, "test", spans_of=chains)
    return {single["name"]: scores}

  pairs = [
      (
          chained["name"],
          load_scores(study / chained["name"] / SCORES)[chained["name"]],
          kept(path, score)[single["name"]],
      ),
      (
          SAME_INFORMATION,
          _baselines(study, chained, dataset, None, say)[SAME_INFORMATION],
          _baselines(study, single, dataset, chains, say)[SAME_INFORMATION],
      ),
  ]
  rows = []
  for name, of_chains, of_events in pairs:
    if not np.array_equal(of_chains.num_events, of_events.num_events):
      raise UserError(
          f"{path}: holds other hidden events than {chained['name']}. Delete"
          " it; it is made again."
      )
    rows.append({
        "model": name,
        "num_hidden_events": int(of_events.num_events.sum()),
        "bits_per_event_chains": of_chains.summary()["bits_per_event"],
        "bits_per_event_single": of_events.summary()["bits_per_event"],
        "difference": table.difference(
            of_chains, of_events, table.TOKEN_MAIN
        ),
    })
  return rows


def _baselines(
    study: Path,
    run: dict[str, Any],
    dataset: Dataset,
    spans_of: Tokenizer | None,
    say: Callable[[str], None],
) -> Scores:
  """Count models on the run's tokens; counted once a tokenizer."""
  tokenizer = _tokenizer(study, run)
  evaluated = load_config(study / run["name"] / equal_time.RUN).evals.test
  name = "_".join([
      tokenizer.fingerprint[:12],
      dataset.meta["fingerprint"][:12],
      evaluated.split,
      f"{evaluated.mask_rate:g}",
      str(evaluated.mask_seed),
  ])
  if spans_of is not None:
    name += f"_spans_{spans_of.fingerprint[:12]}"

  def count() -> Scores:
    say(f"counting the baselines of {run['tokens']} tokens")
    return score_baselines(
        dataset,
        tokenizer,
        split=evaluated.split,
        mask_rate=evaluated.mask_rate,
        mask_seed=evaluated.mask_seed,
        spans_of=spans_of,
    )

  return kept(study / _BASELINES / f"{name}.npz", count)


def _tokenizer(study: Path, run: dict[str, Any]) -> Tokenizer:
  return load_tokenizer(study / run["name"] / equal_time.RUN / "tokenizer")


def _check_alike(
    study: Path, runs: list[dict[str, Any]], dataset: Dataset
) -> None:
  """One table holds runs of one time, size, mask and dataset."""
  for run in runs:
    folder = study / run["name"] / equal_time.RUN
    meta = json.loads((folder / "dataset.json").read_text())
    if meta["fingerprint"] != dataset.meta["fingerprint"]:
      raise UserError(
          f"{folder}: was trained on another dataset than {dataset.path}. Use"
          " another --workdir."
      )
  kinds = {}
  for run in runs:
    config = load_config(study / run["name"] / equal_time.RUN)
    kinds[run["name"]] = {
        "minutes": run["planned"]["minutes"],
        **{name: config.evals.test[name] for name in (
            "split", "mask_rate", "mask_seed"
        )},
        **{name: config.model[name] for name in (
            "num_layers", "embed_dim", "mlp_dim"
        )},
    }
  first = next(iter(kinds.values()))
  for name, kind in kinds.items():
    if kind != first:
      raise UserError(
          f"{study / name}: was made with {kind}, others there with {first}."
          " Move it away, or use another --workdir."
      )

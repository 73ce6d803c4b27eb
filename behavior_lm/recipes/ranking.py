"""Ranking: rows of requests, the last actions before each, heads of actions."""

from collections.abc import Mapping
import functools
import hashlib
import json
import math
from pathlib import Path
from typing import Any

from flax import nnx
from jax.sharding import Mesh
import ml_collections
import numpy as np

from behavior_lm.artifacts.json_files import read_entry
from behavior_lm.common.errors import UserError
from behavior_lm.common.files import write_whole
from behavior_lm.data.features import FeatureSpace
from behavior_lm.data.features.requests import RowBatches
from behavior_lm.data.features.requests import sampled_rows
from behavior_lm.data.features.requests import WEIGHTS
from behavior_lm.evaluation.request_scores import RequestScores
from behavior_lm.evaluation.request_scores import RequestSubject
from behavior_lm.models.ranker import Ranker
from behavior_lm.objectives.labels import BINARY
from behavior_lm.objectives.labels import Target
from behavior_lm.objectives.ranking import RankingLabels
from behavior_lm.recipes.shared import parts
from behavior_lm.recipes.shared import request_data
from behavior_lm.recipes.shared.checks import check_loop
from behavior_lm.recipes.shared.checks import check_step
from behavior_lm.training.recipe import Batches
from behavior_lm.training.recipe import Evaluator

# Files of a run folder, beside those of `artifacts.run_folder`.
SUMMARY = "requests.json"
EVALUATORS = {"requests": RequestScores}


class Ranking:
  """What experiments/train.py does with configs/ranking.py.

  Args:
    config: see configs/ranking.py; the number of steps of its epochs is
      written into it.
    folder: the run folder to resume; None is a new run.

  Raises:
    UserError: if config and tables do not fit.
  """

  def __init__(
      self, config: ml_collections.ConfigDict, folder: Path | None = None
  ) -> None:
    self.config = config
    if not config.data.path:
      raise UserError(
          "no tables: set --config.data.path to the folder that holds"
          " --config.data.train."
      )
    self.heads = request_data.heads_of(config)
    space = FeatureSpace.load(folder) if folder is not None else None
    source = config.init_from.get("model", "")
    older = None
    if source and space is None:
      older = FeatureSpace.load(Path(source))
    self.data = request_data.make_data(config, space, older)
    self.objective = RankingLabels(
        tuple(Target(head, BINARY) for head in self.heads),
        l2=config.objective.l2,
        **{
            name: config.objective[name]
            for name in ("next_weight", "next_negatives", "next_source")
        },
    )
    self.train = self.data.sides["train"]
    if folder is not None:
      self._check_rows(folder)
    self.chosen = sampled_rows(
        self.train.labels, config.data.negative_rate, config.seed
    )
    self.rows_per_epoch = len(self.chosen)
    set_steps(config, self.rows_per_epoch)
    self._check()

  def describe(self) -> str:
    sizes = ", ".join(
        f"{len(rows):,} {name}" for name, rows in self.data.sides.items()
    )
    actions = self.data.actions
    read = f"{len(actions):,} actions" if actions else "no actions"
    return (
        f"{self.config.model.history} history, rows: {sizes}"
        f" ({self.rows_per_epoch:,} trained on), {read},"
        f" {self.data.space.num_ids:,} vectors"
    )

  def save(self, folder: Path) -> None:
    """Writes the features, and what became of the rows of the tables."""
    self.data.space.save(folder)
    text = json.dumps(self._about(), indent=1, default=str)
    write_whole(folder / SUMMARY, text + "\n")

  def batches(self, host: int, num_hosts: int) -> Batches:
    return _OfNames(
        RowBatches(
            self.train,
            self.chosen,
            batch_size=self.config.data.batch_size,
            seed=self.config.seed,
            host=host,
            num_hosts=num_hosts,
        ),
        tuple(self.batch_shapes()),
    )

  def batch_shapes(self) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """The fields of the model and of the objective."""
    shapes = self.train.shapes(self.config.data.batch_size)
    names = (*self._inputs.fields, *self.objective.requires.fields)
    return {name: shapes[name] for name in names}

  def make_model(self, rngs: nnx.Rngs) -> nnx.Module:
    return make_model(self.config, self.data.space)(rngs=rngs)

  def work(self, batch: Mapping[str, np.ndarray]) -> dict[str, float]:
    found = {"rows": float(len(batch[WEIGHTS]))}
    if "action_types" in batch:
      found["actions"] = float((batch["action_types"] > 0).sum())
    return found

  def make_evaluators(self, graphdef: Any, mesh: Mesh) -> dict[str, Evaluator]:
    """Those of `config.evals` that run while training."""
    subject = make_subject(self.config, self.data, graphdef, mesh)
    return parts.evaluators_while_training(
        self.config, lambda name: make_evaluator(self.config, name, subject)
    )

  @property
  def _inputs(self) -> Any:
    return request_data.ranker_inputs(self.config, self.data.space)

  def _about(self) -> dict[str, Any]:
    """What the rows of a run are known by, as JSON."""
    digest = hashlib.sha256()
    for name, values in sorted(self.train.arrays.items()):
      digest.update(name.encode())
      digest.update(np.ascontiguousarray(values).tobytes())
    return {
        "train_sha256": digest.hexdigest(),
        "tables": {n: t.summary for n, t in self.data.tables.items()},
        "features": self.data.space.summary(self.data.tables["train"].frame),
    }

  def _check_rows(self, folder: Path) -> None:
    """Raises UserError if a run was trained on other rows."""
    there = read_entry(folder / SUMMARY, "train_sha256")
    if there != self._about()["train_sha256"]:
      raise UserError(
          f"{folder} was trained on other rows than those of"
          f" {self.config.data.path}/{self.config.data.train}. Use a new"
          " --workdir, or the table of that run."
      )

  def _check(self) -> None:
    config = self.config
    for name, section in config.evals.items():
      parts.known(f"evals.{name}.evaluator", section.evaluator, EVALUATORS)
      if section.every:
        parts.known(f"evals.{name}.split", section.split, self.data.sides)
    if config.data.negative_rate < 1 and len(self.heads) > 1:
      raise UserError(
          "data.negative_rate is below 1 with several heads: how often each"
          " head's negatives were kept differs from row to row, so their"
          " probabilities could not be calibrated. Use one head, or rate 1."
      )
    if self.objective.next_weight and config.model.history != "transact":
      raise UserError(
          f"objective.next_weight is {self.objective.next_weight} with the"
          f" history {config.model.history!r}: only transact has states of a"
          " user's own sequence. Set objective.next_weight=0, or"
          " model.history=transact."
      )
    check_loop(config, config.data.batch_size)
    check_step(self, config)


class _OfNames:
  """Batches of `RowBatches` with some of their fields."""

  def __init__(self, batches: RowBatches, names: tuple[str, ...]) -> None:
    self.batches, self.names = batches, names

  def __next__(self) -> dict[str, np.ndarray]:
    batch = next(self.batches)
    return {name: batch[name] for name in self.names}

  def get_state(self) -> dict[str, Any]:
    return self.batches.get_state()

  def set_state(self, state: dict[str, Any]) -> None:
    self.batches.set_state(state)

  def close(self) -> None:
    self.batches.close()


def set_steps(config: ml_collections.ConfigDict, rows: int) -> None:
  """Turns `epochs` into steps, for the run and between evaluations."""
  if not config.epochs:
    return
  steps = rows / config.data.batch_size
  config.total_steps = max(1, math.ceil(config.epochs * steps))
  if config.evals_per_epoch and "valid" in config.evals:
    config.evals.valid.every = max(1, round(steps / config.evals_per_epoch))


def make_model(
    config: ml_collections.ConfigDict, space: FeatureSpace
) -> functools.partial[Ranker]:
  """A function of `rngs` that makes the model of a config."""
  values = config.model.to_dict()
  options = values.pop("history_options")
  mlp = values.pop("mlp_dims")
  return functools.partial(
      Ranker,
      request_data.ranker_inputs(config, space),
      len(request_data.heads_of(config)),
      history_options=options.get(config.model.history, {}),
      next_action=config.objective.get("next_weight", 0.0) > 0,
      mlp_dims=tuple(int(width) for width in mlp.split(",") if width),
      **values,
  )


def make_subject(
    config: ml_collections.ConfigDict,
    data: request_data.RequestData,
    graphdef: Any,
    mesh: Mesh,
) -> RequestSubject:
  """A model, to be scored on tables."""
  return RequestSubject(
      heads=request_data.heads_of(config),
      sides=data.sides,
      batch_size=config.data.eval_batch_size,
      names=request_data.ranker_inputs(config, data.space).fields,
      graphdef=graphdef,
      mesh=mesh,
      columns=data.space.schema.names("categorical"),
      candidate=config.data.candidate,
      no_items=request_data.ranker_inputs(config, data.space).zero_ids,
      shift=request_data.logit_shift(config),
  )


def make_evaluator(
    config: ml_collections.ConfigDict, name: str, subject: RequestSubject
) -> RequestScores:
  """The evaluator `config.evals.NAME`."""
  values = config.evals[name].to_dict()
  make = parts.known(
      f"evals.{name}.evaluator", values.pop("evaluator"), EVALUATORS
  )
  return parts.make_of(f"evals.{name}", make, subject=subject, **values)

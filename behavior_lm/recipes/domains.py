"""Click models of several domains: experts, and a tower for each domain."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flax import nnx
from jax.sharding import Mesh
import ml_collections
import numpy as np

from behavior_lm.data.pipeline import BatchSpec
from behavior_lm.data.prompts.features import IDS
from behavior_lm.data.prompts.features import PromptFeatures
from behavior_lm.data.prompts.features import STATISTICS
from behavior_lm.data.table_rows import TableRows
from behavior_lm.evaluation.domain_scores import DomainScores
from behavior_lm.evaluation.label_scores import LabelSubject
from behavior_lm.models.domain_towers import DomainConfig
from behavior_lm.models.domain_towers import DomainTowers
from behavior_lm.objectives.labels import BINARY
from behavior_lm.objectives.labels import Labels
from behavior_lm.objectives.labels import Target
from behavior_lm.recipes.prompts import check_evals
from behavior_lm.recipes.prompts import make_evaluator
from behavior_lm.recipes.shared import parts
from behavior_lm.recipes.shared.checks import check_loop
from behavior_lm.recipes.shared.checks import check_step
from behavior_lm.recipes.shared.domain_data import decode
from behavior_lm.recipes.shared.domain_data import DomainData
from behavior_lm.recipes.shared.domain_data import LIKED
from behavior_lm.recipes.shared.language import load_prompt_model
from behavior_lm.recipes.shared.prompt_vectors import prompt_vectors
from behavior_lm.training.recipe import Batches
from behavior_lm.training.recipe import Evaluator


class Domains:
  """What experiments/train.py does with configs/domains.py.

  Args:
    config: see configs/domains.py.
    folder: the run folder to resume; None is a new run.

  Raises:
    UserError: if config, language model and sources do not fit.
  """

  def __init__(
      self, config: ml_collections.ConfigDict, folder: Path | None = None
  ) -> None:
    self.config = config
    self.data = DomainData(config.prompts)
    if folder is not None:
      self.data.check_same(folder)
      self.features = PromptFeatures.load(folder)
    else:
      self.features = parts.make_of(
          "features",
          PromptFeatures.fit,
          frame=self.data.frame,
          **config.features.to_dict(),
      )
    self._columns = self._make_columns()
    self.objective = Labels(self._targets())
    self._rows = self._make_rows("train", train=True)
    self.rows_per_epoch = float(self._rows.rows_per_epoch)
    self._check()

  def describe(self) -> str:
    run = self.config.language.run
    return (
        f"{self.config.towers.structure} with"
        f" {'the language model ' + run if run else 'no language model'},"
        f" {self.data.describe()}"
    )

  def save(self, folder: Path) -> None:
    """Writes what predictions need beside the model."""
    self.features.save(folder)
    self.data.save(folder)

  def batches(self, host: int, num_hosts: int) -> Batches:
    names = tuple(self.batch_shapes())
    return parts.read_batches(self.config, self._rows, names, host, num_hosts)

  def batch_shapes(self) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """The fields of the model and of the objective."""
    names = (*self.domain_config.fields, *self.objective.requires.fields)
    size = self.config.data.batch_size
    return {
        name: (
            (size, *self._rows.columns[name].shape[1:]),
            self._rows.columns[name].dtype,
        )
        for name in names
    }

  @property
  def domain_config(self) -> DomainConfig:
    """Sizes of the model."""
    vector = self._columns.get("vector")
    return parts.make_of(
        "towers",
        DomainConfig,
        num_ids=sum(self.features.sizes.values()),
        num_columns=len(IDS),
        num_dense=len(STATISTICS),
        num_domains=len(self.features.domains),
        vector_dim=0 if vector is None else vector.shape[1],
        **self.config.towers.to_dict(),
    )

  def make_model(self, rngs: nnx.Rngs) -> nnx.Module:
    return DomainTowers(self.domain_config, rngs=rngs)

  def work(self, batch: Mapping[str, np.ndarray]) -> dict[str, float]:
    return {"rows": float(len(batch["labels"]))}

  def make_evaluators(self, graphdef: Any, mesh: Mesh) -> dict[str, Evaluator]:
    """Those of `config.evals` that run while training."""
    subject = self.subject(graphdef, mesh)
    return parts.evaluators_while_training(
        self.config, lambda name: self.make_evaluator(name, subject)
    )

  def make_evaluator(self, name: str, subject: LabelSubject) -> DomainScores:
    """The evaluator `config.evals.NAME`."""
    return make_evaluator(self.config, self.data, name, subject)

  def subject(self, graphdef: Any, mesh: Mesh) -> LabelSubject:
    """The model of this run, to be measured on its rows."""
    return LabelSubject(
        targets=self.objective.targets,
        sides={
            name: (self._make_rows(name, train=False), self.data.labels[rows])
            for name, rows in self.data.measured().items()
        },
        decode=decode,
        spec=BatchSpec(
            batch_size=self.config.data.batch_size, max_length=1, prefetch=0
        ),
        names=self.domain_config.fields,
        graphdef=graphdef,
        mesh=mesh,
    )

  def _targets(self) -> tuple[Target, ...]:
    """The label by the row's own tower, and by the general one."""
    if not self.config.towers.general_tower:
      return (LIKED,)
    weight = self.config.objective.general_weight
    return (LIKED, Target("general", BINARY, weight=weight))

  def _make_columns(self) -> dict[str, np.ndarray]:
    """Fields of all rows of the frame."""
    frame, config = self.data.frame, self.config
    labels = self.data.labels
    columns = {
        "ids": self.features.ids(frame),
        "dense": self.features.dense(frame),
        "domain": self.features.domain(frame).astype(np.int32),
        "labels": np.repeat(labels, len(self._targets()), 1),
        "weights": np.ones(len(frame), np.float32),
    }
    if config.language.run:
      model = load_prompt_model(
          config.language.run,
          pooling=config.language.pooling,
          pooling_options=config.language.pooling_options.to_dict(),
          dtype=config.language.dtype,
      )
      columns["vector"] = prompt_vectors(
          model,
          self.data.prompts,
          config.language.cache,
          max_length=config.prompts.max_length,
          batch_size=config.language.batch_size,
          row_length=config.language.row_length,
      )
    return columns

  def _make_rows(self, split: str, *, train: bool) -> TableRows:
    rows = self.data.rows[split]
    return TableRows(
        {name: values[rows] for name, values in self._columns.items()},
        seed=self.config.seed,
        train=train,
    )

  def _check(self) -> None:
    check_evals(self.config, self.data)
    check_loop(self.config, self.config.data.batch_size)
    check_step(self, self.config)

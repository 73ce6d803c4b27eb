"""Long- and short-term interest: two sequences per user, two towers."""

from collections.abc import Mapping
import dataclasses
import functools
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
from behavior_lm.data import fields
from behavior_lm.data.categories import load_categories
from behavior_lm.data.categories import save_categories
from behavior_lm.data.categories import Vocabularies
from behavior_lm.data.items import histories as items_lib
from behavior_lm.data.items.interest_rows import CROPS
from behavior_lm.data.items.interest_rows import days_between
from behavior_lm.data.items.interest_rows import InterestRows
from behavior_lm.data.items.interest_rows import LONG
from behavior_lm.data.items.interest_rows import SHORT
from behavior_lm.data.items.interest_rows import Spans
from behavior_lm.data.items.vocabulary import fit_items
from behavior_lm.data.items.vocabulary import ItemVocabulary
from behavior_lm.data.items.vocabulary import load_items
from behavior_lm.data.reading import Reading
from behavior_lm.data.time_features import check_names
from behavior_lm.data.time_features import OF_SPAN
from behavior_lm.evaluation.next_purchase import NextPurchase
from behavior_lm.evaluation.own_short import InterestSubject
from behavior_lm.evaluation.own_short import OwnShort
from behavior_lm.layers.experts.moe import MoEConfig
from behavior_lm.logs import schema
from behavior_lm.logs.dataset import Dataset
from behavior_lm.models.two_tower import TwoTower
from behavior_lm.models.two_tower import TwoTowerConfig
from behavior_lm.objectives.bpr import USER_OBJECTIVES
from behavior_lm.objectives.objective import Objective
from behavior_lm.recipes.shared import parts
from behavior_lm.recipes.shared.checks import check_loop
from behavior_lm.recipes.shared.checks import check_step
from behavior_lm.training.recipe import Batches
from behavior_lm.training.recipe import Evaluator

# Files of a run folder, beside those of `artifacts.run_folder`.
ITEMS, CATEGORIES, DATASET = "items", "categories", "dataset.json"
EVALUATORS: dict[str, Any] = {
    "own_short": OwnShort,
    "next_purchase": NextPurchase,
}


class Interest:
  """What experiments/train.py does with configs/interest.py.

  Args:
    config: see configs/interest.py; what it takes from the dataset, and the
      number of steps of its epochs, is written into it.
    folder: the run folder to resume; None is a new run.

  Raises:
    UserError: if the config and the dataset do not fit.
  """

  def __init__(
      self, config: ml_collections.ConfigDict, folder: Path | None = None
  ) -> None:
    self.config = config
    self.dataset = parts.find_dataset(config)
    data = config.data
    if data.features and not data.feature_zone:
      data.feature_zone = self.dataset.meta["timezone"]
    self.vocabulary = self._find_vocabulary(folder)
    self._describe_extras()
    self.reading = Reading.of(data)
    self._check_features()
    found = items_lib.read_histories(
        self.dataset, [data.split], self.vocabulary, self.reading
    )
    items_lib.check_items(found, f"{self.dataset.path}, {data.split}")
    if not data.span_days:
      data.span_days = days_between(found.times)
    parts.known("data.crop", data.crop, dict.fromkeys(CROPS))
    self._rows = InterestRows(
        found,
        self.reading,
        make_spans(config),
        self.vocabulary.counts,
        crop=data.crop,
        seed=config.seed,
    )
    self.rows_per_epoch = self._rows.rows_per_epoch
    self._set_steps()
    self.objective = make_objective(config)
    self._check()

  def describe(self) -> str:
    experts = self.config.experts
    return (
        f"two towers, {experts.num_experts} experts,"
        f" {len(self.vocabulary):,} items, {self.rows_per_epoch:,} users with"
        f" {self._rows.histories.offsets[-1]:,} events"
    )

  def save(self, folder: Path) -> None:
    """Writes the items, the categories, and what describes the dataset."""
    self.vocabulary.save(folder / ITEMS)
    save_categories(
        folder / CATEGORIES, self.dataset, category_columns(self.reading)
    )
    text = json.dumps(self.dataset.meta, indent=1, default=str)
    write_whole(folder / DATASET, text + "\n")

  def batches(self, host: int, num_hosts: int) -> Batches:
    names = tuple(self.batch_shapes())
    return parts.read_batches(
        self.config, self._rows, names, host, num_hosts
    )

  def batch_shapes(self) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """The fields of both sequences, and of the objective."""
    data = self.config.data
    out: dict[str, tuple[tuple[int, ...], np.dtype]] = {}
    names = (*tower_config(self.config, self.vocabulary).fields, "num_events")
    for prefix, length, of_span in (
        (LONG, data.long_length, names),
        (SHORT, data.short_length, names),
        ("", 0, self.objective.requires.fields),
    ):
      out |= fields.batch_shapes(
          [prefix + name for name in of_span],
          self.reading.table,
          batch_size=data.batch_size,
          max_length=length + 1,
          max_segments=1,
      )
    return out

  def make_model(self, rngs: nnx.Rngs) -> nnx.Module:
    return make_model(self.config, self.vocabulary)(rngs=rngs)

  def work(self, batch: Mapping[str, np.ndarray]) -> dict[str, float]:
    events = sum(batch[f"{p}num_events"].sum() for p in (LONG, SHORT))
    return {"users": float(len(batch["row_user"])), "events": float(events)}

  def make_evaluators(self, graphdef: Any, mesh: Mesh) -> dict[str, Evaluator]:
    """Those of `config.evals` that run while training."""
    subject = make_subject(
        self.config,
        self.dataset,
        self.vocabulary,
        {
            name: codes_of(self.dataset, name)
            for name in category_columns(self.reading)
        },
        graphdef,
        mesh,
    )
    return parts.evaluators_while_training(
        self.config, lambda name: make_evaluator(self.config, name, subject)
    )

  def _find_vocabulary(self, folder: Path | None) -> ItemVocabulary:
    if folder is None:
      return fit_items(self.dataset, **self.config.vocabulary.to_dict())
    known = read_entry(folder / DATASET, "fingerprint")
    if known != self.dataset.meta["fingerprint"]:
      raise UserError(
          f"{folder} was trained on another dataset than {self.dataset.path}"
          " (their fingerprints differ). Use a new --workdir, or the dataset of"
          " that run."
      )
    return load_items(folder / ITEMS)

  def _describe_extras(self) -> None:
    """Writes what the model must know of extra columns into the config."""
    known = dict(self.dataset.extras)
    known[items_lib.ACTION] = schema.Extra(
        schema.CATEGORICAL, categories=self.vocabulary.actions.height + 1
    )
    parts.describe_extras(self.config, known)

  def _check_features(self) -> None:
    names = [n for n in self.reading.features if n not in OF_SPAN]
    check_names(names, [*self.dataset.extras, items_lib.ACTION])
    category = self.config.data.category
    if category and category not in self.reading.categorical:
      raise UserError(
          f"data.category is {category!r}, but the categorical columns among"
          f" data.features are {', '.join(self.reading.categorical) or 'none'}."
          " Prepare the log with --extras NAME:cat, or set"
          " --config.data.category=''."
      )

  def _set_steps(self) -> None:
    """Turns epochs into steps, of the run and of the balance rule."""
    config = self.config
    steps = self.rows_per_epoch / config.data.batch_size
    if config.epochs:
      config.total_steps = max(1, math.ceil(config.epochs * steps))
    if not config.experts.balance_period:
      config.experts.balance_period = max(1, round(steps))

  def _check(self) -> None:
    config = self.config
    self.dataset.check_split(config.data.split)
    if config.data.batch_size < 2:
      raise UserError(
          "data.batch_size is 1: the loss compares a user with others of the"
          " batch. Give at least 2."
      )
    for name, section in config.evals.items():
      parts.known(f"evals.{name}.evaluator", section.evaluator, EVALUATORS)
      if section.every:
        self.dataset.check_split(section.split)
    check_loop(config, config.data.batch_size)
    check_step(self, config)


def make_spans(config: ml_collections.ConfigDict) -> Spans:
  """How histories are divided.

  Raises:
    UserError: if a length or share makes no sense.
  """
  data = config.data
  return parts.make_of(
      "data",
      Spans,
      **{field.name: data[field.name] for field in dataclasses.fields(Spans)},
  )


def tower_config(
    config: ml_collections.ConfigDict, vocabulary: ItemVocabulary
) -> TwoTowerConfig:
  """The sizes of the model."""
  data = config.data
  experts = None
  if config.experts.num_experts:
    experts = parts.make_of("experts", MoEConfig, **config.experts.to_dict())
  return parts.make_of(
      "model",
      TwoTowerConfig,
      vocab_size=vocabulary.vocab_size,
      features=Reading.of(data).categories,
      max_length=max(data.long_length, data.short_length) + 1,
      experts=experts,
      **config.model.to_dict(),
  )


def make_model(
    config: ml_collections.ConfigDict, vocabulary: ItemVocabulary
) -> functools.partial[TwoTower]:
  """A function of `rngs` that makes the model of a config."""
  return functools.partial(TwoTower, tower_config(config, vocabulary))


def make_objective(config: ml_collections.ConfigDict) -> Objective:
  """The loss that a config names.

  Raises:
    UserError: if it is unknown, or has no such setting.
  """
  make = parts.known("objective.name", config.objective.name, USER_OBJECTIVES)
  objective: Objective = parts.make_of(
      "objective", make, **parts.without_name(config.objective)
  )
  return objective


def category_columns(reading: Reading) -> tuple[str, ...]:
  """Categorical columns of the log that the model reads."""
  return tuple(n for n in reading.categorical if n != items_lib.ACTION)


def codes_of(dataset: Dataset, name: str) -> dict[str, int]:
  """{value: code} of a categorical column."""
  table = dataset.categories(name).drop_nulls("value")
  return dict(zip(table["value"], table["code"], strict=True))


def make_subject(
    config: ml_collections.ConfigDict,
    dataset: Dataset,
    vocabulary: ItemVocabulary,
    categories: Vocabularies,
    graphdef: Any,
    mesh: Mesh,
) -> InterestSubject:
  """A model, to be scored on any dataset."""
  return InterestSubject(
      dataset=dataset,
      vocabulary=vocabulary,
      categories=categories,
      reading=Reading.of(config.data),
      spans=make_spans(config),
      names=tower_config(config, vocabulary).fields,
      graphdef=graphdef,
      mesh=mesh,
  )


def make_evaluator(
    config: ml_collections.ConfigDict,
    name: str,
    subject: InterestSubject,
    **changes: Any,
) -> Any:
  """The evaluator `config.evals.NAME`; `changes` are not the config's."""
  return parts.named_evaluator(config, name, EVALUATORS, subject, **changes)


def load_run_categories(folder: Path, reading: Reading) -> Vocabularies:
  """Codes of the categorical columns of a run."""
  return load_categories(folder / CATEGORIES, category_columns(reading))

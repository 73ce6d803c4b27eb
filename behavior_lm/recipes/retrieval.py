"""Retrieval: users' items in order, a causal encoder, a table of next items."""

from collections.abc import Mapping
import functools
import json
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
from behavior_lm.data.items import histories as items_lib
from behavior_lm.data.items.vocabulary import extend_items
from behavior_lm.data.items.vocabulary import fit_items
from behavior_lm.data.items.vocabulary import ItemVocabulary
from behavior_lm.data.items.vocabulary import load_items
from behavior_lm.data.packed_rows import RowSource
from behavior_lm.data.reading import Reading
from behavior_lm.data.time_features import check_names
from behavior_lm.data.windows import WindowSource
from behavior_lm.evaluation.next_item_ranking import ItemSubject
from behavior_lm.evaluation.next_item_ranking import NextItemRanking
from behavior_lm.logs import schema
from behavior_lm.logs.dataset import Dataset
from behavior_lm.models.next_item import NextItem
from behavior_lm.objectives import ITEM_OBJECTIVES
from behavior_lm.objectives.objective import Objective
from behavior_lm.recipes.shared import parts
from behavior_lm.recipes.shared.causality import check_causality
from behavior_lm.recipes.shared.checks import check_loop
from behavior_lm.recipes.shared.checks import check_step
from behavior_lm.training.recipe import Batches
from behavior_lm.training.recipe import Evaluator

ITEMS = "items"  # the vocabulary, in the run folder
DATASET = "dataset.json"
EVALUATORS = {"ranking": NextItemRanking}
# How a history that is longer than the model is cut while training.
CROPS: dict[str, Any] = {"random": "crop", "windows": "windows", "tail": "last"}
POSITIONS = ("start", "end")
# Where a config leaves them open, see `choose_sizes`.
STEPS_PER_EPOCH, FEWEST_ROWS, MOST_ROWS = 100, 4, 32
SPARSE_EVENTS, SPARSE_DROPOUT, DROPOUT = 50, 0.5, 0.2


def choose_sizes(
    config: ml_collections.ConfigDict,
    rows_per_epoch: int,
    events_per_item: float,
) -> None:
  """Writes what suits the data into the config, where it leaves it open.

  A batch size of 0 becomes a multiple of 4 rows, from 4 to 32, with which an
  epoch has about 100 steps: a small dataset in large batches makes few steps
  before it is overfitted. A negative dropout rate becomes 0.5 where an item
  has fewer than 50 events in the mean, else 0.2, as SASRec (arXiv 1808.09781,
  section 4.4) has for sparse and dense data.

  Args:
    config: see configs/retrieval.py.
    rows_per_epoch: of the training data.
    events_per_item: of the training data, in the mean.
  """
  if not config.data.batch_size:
    # A multiple divides among devices.
    wanted = rows_per_epoch // STEPS_PER_EPOCH // FEWEST_ROWS * FEWEST_ROWS
    config.data.batch_size = min(max(wanted, FEWEST_ROWS), MOST_ROWS)
  if config.model.dropout_rate < 0:
    sparse = events_per_item < SPARSE_EVENTS
    config.model.dropout_rate = SPARSE_DROPOUT if sparse else DROPOUT


class Retrieval:
  """What experiments/train.py does with configs/retrieval.py.

  Args:
    config: see configs/retrieval.py; what it takes from the dataset is written
      into it.
    folder: the run folder to resume; None is a new run.

  Raises:
    UserError: if the config and the dataset do not fit.
  """

  def __init__(
      self, config: ml_collections.ConfigDict, folder: Path | None = None
  ) -> None:
    self.config = config
    self.dataset = parts.find_dataset(config)
    if config.data.features and not config.data.feature_zone:
      config.data.feature_zone = self.dataset.meta["timezone"]
    self.vocabulary = self._find_vocabulary(folder)
    self._describe_extras()
    self.reading = Reading.of(config.data)
    check_names(
        self.reading.features, [*self.dataset.extras, items_lib.ACTION]
    )
    self.objective = make_objective(config, self.vocabulary)
    self.dataset.check_split(config.data.split)
    found = items_lib.read_histories(
        self.dataset, [config.data.split], self.vocabulary, self.reading
    )
    items_lib.check_items(found, f"{self.dataset.path}, {config.data.split}")
    self._histories = found
    spec = parts.batch_spec(config)
    windows = WindowSource(
        items_lib.ItemSource(found, self.reading),  # type: ignore[arg-type]
        found.lengths,
        max_length=spec.max_length,
        seed=config.seed,
        history=parts.known("data.crop", config.data.crop, CROPS),
    )
    self._rows = RowSource(windows, spec.max_length, spec.segments)
    self.rows_per_epoch = self._rows.rows_per_epoch
    choose_sizes(
        config,
        self.rows_per_epoch,
        found.offsets[-1] / max(len(self.vocabulary), 1),
    )
    self._check()

  def describe(self) -> str:
    return (
        f"{self.config.model.name}, {len(self.vocabulary):,} items,"
        f" {len(self._histories):,} users with"
        f" {self._histories.offsets[-1]:,} events in"
        f" {self.rows_per_epoch:,} rows per epoch, batches of"
        f" {self.config.data.batch_size} rows, dropout"
        f" {self.config.model.dropout_rate:g}"
    )

  def save(self, folder: Path) -> None:
    """Writes the item vocabulary, and what describes the dataset."""
    self.vocabulary.save(folder / ITEMS)
    text = json.dumps(self.dataset.meta, indent=1, default=str)
    write_whole(folder / DATASET, text + "\n")

  def batches(self, host: int, num_hosts: int) -> Batches:
    names = tuple(self.batch_shapes())
    return parts.read_batches(self.config, self._rows, names, host, num_hosts)

  def batch_shapes(self) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """The fields of the model, of the objective, and of `work`."""
    data = self.config.data
    names = model_fields(self.config, self.vocabulary)
    return fields.batch_shapes(
        dict.fromkeys((*names, *self.objective.requires.fields, "num_events")),
        self.reading.table,
        batch_size=data.batch_size,
        max_length=data.max_length,
        max_segments=data.max_segments,
    )

  def make_model(self, rngs: nnx.Rngs) -> nnx.Module:
    return make_model(self.config, self.vocabulary)(rngs=rngs)

  def work(self, batch: Mapping[str, np.ndarray]) -> dict[str, float]:
    last = batch["segment_ids"].max(1)
    return {
        "events": float(batch["num_events"].sum()),
        "sequences": float(last.sum()),
    }

  def make_evaluators(self, graphdef: Any, mesh: Mesh) -> dict[str, Evaluator]:
    """Those of `config.evals` that run while training."""
    subject = make_subject(
        self.config, self.dataset, self.vocabulary, graphdef, mesh
    )
    return parts.evaluators_while_training(
        self.config, lambda name: make_evaluator(self.config, name, subject)
    )

  def _find_vocabulary(self, folder: Path | None) -> ItemVocabulary:
    """Reads the vocabulary of the run, or makes one.

    An encoder from another run brings its own, which grows by the new items.
    """
    if folder is not None:
      known = read_entry(folder / DATASET, "fingerprint")
      if known != self.dataset.meta["fingerprint"]:
        raise UserError(
            f"{folder} was trained on another dataset than"
            f" {self.dataset.path} (their fingerprints differ). Use a new"
            " --workdir, or the dataset of that run; it may start from this"
            f" one with --config.init_from.encoder={folder}."
        )
      return load_items(folder / ITEMS)
    found = fit_items(self.dataset, **self.config.vocabulary.to_dict())
    source = self.config.init_from.encoder
    if source:
      return extend_items(load_items(Path(source) / ITEMS), found)
    return found

  def _describe_extras(self) -> None:
    """Writes what the model must know of extra columns into the config."""
    known = dict(self.dataset.extras)
    known[items_lib.ACTION] = schema.Extra(
        schema.CATEGORICAL, categories=self.vocabulary.actions.height + 1
    )
    parts.describe_extras(self.config, known)

  def _check(self) -> None:
    config = self.config
    for name, section in config.evals.items():
      parts.known(f"evals.{name}.evaluator", section.evaluator, EVALUATORS)
      if section.every:
        self.dataset.check_split(section.split)
    positions = config.data.positions
    parts.known("data.positions", positions, dict.fromkeys(POSITIONS))
    check_loop(config, config.data.batch_size)
    check_causality(config, self.objective.requires)
    check_step(self, config)


def make_model(
    config: ml_collections.ConfigDict, vocabulary: ItemVocabulary
) -> functools.partial[NextItem]:
  """A function of `rngs` that makes the model of a config."""
  return functools.partial(
      NextItem,
      config.model.name,
      parts.encoder_config(config, vocabulary.vocab_size),
      num_special=schema.NUM_SPECIAL,
      tied=config.output.tied,
      from_end=config.data.positions == "end",
  )


def model_fields(
    config: ml_collections.ConfigDict, vocabulary: ItemVocabulary
) -> tuple[str, ...]:
  """What a batch of the model must hold."""
  return parts.encoder_config(config, vocabulary.vocab_size).fields


def make_objective(
    config: ml_collections.ConfigDict, vocabulary: ItemVocabulary
) -> Objective:
  """The loss that a config names.

  Raises:
    UserError: if it is unknown, or has no such setting.
  """
  make = parts.known("objective.name", config.objective.name, ITEM_OBJECTIVES)
  objective: Objective = parts.make_of(
      "objective",
      make,
      counts=vocabulary.counts,
      num_special=schema.NUM_SPECIAL,
      **parts.without_name(config.objective),
  )
  return objective


def make_subject(
    config: ml_collections.ConfigDict,
    dataset: Dataset,
    vocabulary: ItemVocabulary,
    graphdef: Any,
    mesh: Mesh,
) -> ItemSubject:
  """A model, to be scored on any dataset."""
  return ItemSubject(
      dataset=dataset,
      vocabulary=vocabulary,
      reading=Reading.of(config.data),
      max_length=config.data.max_length,
      names=model_fields(config, vocabulary),
      graphdef=graphdef,
      mesh=mesh,
  )


def make_evaluator(
    config: ml_collections.ConfigDict,
    name: str,
    subject: ItemSubject,
    **changes: Any,
) -> NextItemRanking:
  """The evaluator `config.evals.NAME`; `changes` are not the config's."""
  found: NextItemRanking = parts.named_evaluator(
      config, name, EVALUATORS, subject, **changes
  )
  return found

"""Pretraining: packed rows of tokens, an encoder with a token head."""

from collections.abc import Callable, Mapping
import inspect
import json
from pathlib import Path
import shutil
from typing import Any

from flax import nnx
from jax.sharding import Mesh
import ml_collections
import numpy as np

from behavior_lm.artifacts.json_files import read_entry
from behavior_lm.common.errors import UserError
from behavior_lm.common.files import write_whole
from behavior_lm.data import fields
from behavior_lm.data.categories import save_categories
from behavior_lm.data.packed_rows import RowSource
from behavior_lm.data.reading import Reading
from behavior_lm.data.staged_batches import StagedBatches
from behavior_lm.data.time_features import check_names
from behavior_lm.data.time_gaps import HIDDEN_GAP
from behavior_lm.data.token_lengths import token_lengths
from behavior_lm.data.token_source import open_tokens
from behavior_lm.data.tokenizers import load_tokenizer
from behavior_lm.data.tokenizers.coverage import coverage_line
from behavior_lm.data.windows import WindowSource
from behavior_lm.evaluation.evaluators import EVALUATORS
from behavior_lm.evaluation.token_scores import Subject
from behavior_lm.logs import schema
from behavior_lm.logs.dataset import Dataset
from behavior_lm.objectives import OBJECTIVES
from behavior_lm.objectives.objective import Objective
from behavior_lm.objectives.weighted_sum import WeightedSum
from behavior_lm.recipes.shared import parts
from behavior_lm.recipes.shared.causality import check_causality
from behavior_lm.recipes.shared.causality import check_tokens
from behavior_lm.recipes.shared.checks import check_loop
from behavior_lm.recipes.shared.checks import check_maskable
from behavior_lm.recipes.shared.checks import check_sessions
from behavior_lm.recipes.shared.checks import check_step
from behavior_lm.recipes.shared.hidden_gaps import check_hidden_gaps
from behavior_lm.recipes.shared.hidden_gaps import check_parts
from behavior_lm.recipes.shared.lengths import length_stages
from behavior_lm.recipes.shared.sentences import CountedSentences
from behavior_lm.training.recipe import Batches
from behavior_lm.training.recipe import Evaluator

# Files of a run folder, beside those of `artifacts.run_folder`.
DATASET = "dataset.json"
DATA_REPORT = "data_report.json"
TOKENIZER = "tokenizer"
CATEGORIES = "categories"
# Stands in until there is a tokenizer: building one takes time, and what is
# wrong with a config should be known before.
_VOCAB_SIZE = 100


class Pretrain:
  """What experiments/train.py does with configs/pretrain.py.

  Args:
    config: see configs/pretrain.py; what it takes from the dataset is written
      into it.
    folder: the run folder to resume; None is a new run.

  Raises:
    UserError: if the config, the dataset or the tokenizer do not fit.
  """

  def __init__(
      self, config: ml_collections.ConfigDict, folder: Path | None = None
  ) -> None:
    self.config = config
    self.dataset = parts.find_dataset(config)
    if config.data.features and not config.data.feature_zone:
      # The run folder must say it without the dataset: an embedder reads hours
      # on the clock that training read.
      config.data.feature_zone = self.dataset.meta["timezone"]
    parts.describe_extras(config, self.dataset.extras)
    self.reading = Reading.of(config.data)
    self._check()
    if folder is None:
      self.tokenizer = parts.make_tokenizer(config, self.dataset)
    else:
      _check_dataset(folder, self.dataset)
      self.tokenizer = load_tokenizer(folder / TOKENIZER)
    check_tokens(config, self.tokenizer)
    self.vocab_size = self.tokenizer.vocab_size
    self.objective = make_objective(config, self.vocab_size, self._idf)
    check_sessions(self.objective.requires, self.tokenizer)
    of_stages = self._open_windows()
    self._windows = windows = of_stages[-1]
    # Each objective that masks events has its own rate.
    rates = [
        one["mask_rate"]
        for one in parts.objective_settings(config).values()
        if "mask_rate" in one
    ]
    self._short = rates and check_maskable(windows.num_tokens, min(rates))
    of_sequences = {}
    if "segment_user" in self.objective.requires.fields:
      users = self.dataset.sequences(config.data.split)["user_id"].to_numpy()
      of_sequences["segment_user"] = np.unique(users, return_inverse=True)[1]
    # In a batch a sequence stands once where it can.
    self._rows = [
        RowSource(
            found,
            spec.max_length,
            spec.segments,
            rows_apart=spec.batch_size,
            of_sequences=of_sequences,
        )
        for found, spec in zip(
            of_stages,
            (parts.batch_spec(own) for own, _ in self._stages),
            strict=True,
        )
    ]
    # A batch of any stage holds as many tokens, and so about the same share of
    # an epoch.
    self.rows_per_epoch = self._rows[-1].rows_per_epoch

  def describe(self) -> str:
    windows = self._windows
    stages = ", ".join(
        f"{own.data.max_length:,} up to step {end:,}"
        for own, end in self._stages
    )
    return (
        f"{self.config.model.name}, vocabulary {self.vocab_size:,},"
        f" {windows.num_tokens.sum():,} tokens in {len(windows):,} windows and"
        f" {self.rows_per_epoch:,} rows per epoch"
        + (f", rows of {stages} tokens" if len(self._stages) > 1 else "")
        + (f"; {self._short}" if self._short else "")
        + f"; {coverage_line(self.tokenizer, self.dataset.pairs)}"
    )

  def save(self, folder: Path) -> None:
    """Writes the tokenizer, and what describes the dataset."""
    self.tokenizer.save(folder / TOKENIZER)
    text = json.dumps(self.dataset.meta, indent=1, default=str)
    write_whole(folder / DATASET, text + "\n")
    save_categories(
        folder / CATEGORIES, self.dataset, self.reading.categorical
    )
    report = self.dataset.path / "report.json"
    if report.exists():
      shutil.copyfile(report, folder / DATA_REPORT)

  def batches(self, host: int, num_hosts: int) -> Batches:
    names = tuple(self.batch_shapes())
    loaders = [
        parts.open_loader(own, rows, names, host, num_hosts)
        for (own, _), rows in zip(self._stages, self._rows, strict=True)
    ]
    if len(loaders) == 1:
      batches: Batches = iter(loaders[0])
      return batches
    return StagedBatches(loaders, [end for _, end in self._stages])

  def batch_shapes(self) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """The fields of the model, of the objective, and of `work`."""
    return self._shapes(self.config.data)

  def _shapes(
      self, data: ml_collections.ConfigDict
  ) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    names = (*self._names(), *self.objective.requires.fields, "num_events")
    return fields.batch_shapes(
        dict.fromkeys(names),
        self.reading.table,
        batch_size=data.batch_size,
        max_length=data.max_length,
        max_segments=data.max_segments,
    )

  def make_model(self, rngs: nnx.Rngs) -> nnx.Module:
    return parts.language_model(self.config, self.vocab_size)(rngs=rngs)

  def work(self, batch: Mapping[str, np.ndarray]) -> dict[str, float]:
    return {
        "events": float(batch["num_events"].sum()),
        "tokens": float(batch["tokens"].size),
    }

  def make_evaluators(
      self, graphdef: Any, mesh: Mesh
  ) -> dict[str, Evaluator]:
    """Those of `config.evals` that run while training."""
    return parts.evaluators_while_training(
        self.config,
        lambda name: make_evaluator(
            self.config, name, self.subject(graphdef, mesh)
        ),
    )

  def subject(self, graphdef: Any, mesh: Mesh) -> Subject:
    """The model of this run, to be scored on its dataset."""
    return make_subject(
        self.config, self.dataset, self.tokenizer, graphdef, mesh
    )

  def _names(self) -> tuple[str, ...]:
    return parts.encoder_config(self.config, self.vocab_size).fields

  def _check(self) -> None:
    """All that can be known without a tokenizer."""
    config = self.config
    check_names(self.reading.features, list(self.dataset.extras))
    self.dataset.check_split(config.data.split)
    for name, section in config.evals.items():
      parts.known(f"evals.{name}.evaluator", section.evaluator, EVALUATORS)
      if section.every:
        self.dataset.check_split(section.split)
    self._stages = length_stages(config)
    for own, _ in self._stages:
      check_loop(config, own.data.batch_size)
    self.vocab_size = _VOCAB_SIZE
    self.objective = make_objective(config, _VOCAB_SIZE)
    check_causality(config, self.objective.requires)
    if self.objective.requires.hides_events:
      check_hidden_gaps(config)
    if self.objective.requires.parts_windows:
      check_parts(config)
    for own, _ in self._stages:
      check_step(self, config, self._shapes(own.data))

  def _idf(self) -> np.ndarray:
    """log((1 + N) / (1 + df)) of each token over the training sequences."""
    split = self.config.data.split
    tokens = open_tokens(self.dataset, split, self.tokenizer, self.reading)
    found = np.zeros(self.vocab_size)
    for place in range(len(tokens)):
      found[np.unique(tokens[place]["tokens"])] += 1
    idf: np.ndarray = np.log((1 + len(tokens)) / (1 + found))
    return idf.astype(np.float32)

  def _open_windows(self) -> list[WindowSource]:
    """The windows of each stage."""
    split = self.config.data.split
    tokens = open_tokens(self.dataset, split, self.tokenizer, self.reading)
    num_tokens = token_lengths(self.dataset, split, tokens)
    return [
        WindowSource(
            tokens,
            num_tokens,
            max_length=own.data.max_length,
            seed=own.seed,
            history=own.data.history,
            stride=own.data.stride or None,
        )
        for own, _ in self._stages
    ]


def make_objective(
    config: ml_collections.ConfigDict,
    vocab_size: int,
    idf: Callable[[], np.ndarray] | None = None,
) -> Objective:
  """The objective that a config names, or the weighted sum of several.

  Args:
    config: of the run.
    vocab_size: of the tokenizer.
    idf: counts the tokens of training, for the strategy that needs it.

  Raises:
    UserError: if it is unknown, or has no such setting.
  """
  made = _make_objective(config, vocab_size, idf)
  if not config.model.get("sentence_layers", 0):
    return made
  encoder = parts.encoder_config(config, vocab_size)
  return CountedSentences(made, encoder.num_sentences)


def _make_objective(
    config: ml_collections.ConfigDict,
    vocab_size: int,
    idf: Callable[[], np.ndarray] | None,
) -> Objective:
  """One objective, or the weighted sum."""
  settings = parts.objective_settings(config)
  if len(settings) == 1:
    ((name, values),) = settings.items()
    return _make_member(config, name, values, vocab_size, idf)
  members = {}
  for name, values in settings.items():
    weight = values.pop("weight", 1.0)
    member = _make_member(config, name, values, vocab_size, idf)
    members[name] = (weight, member)
  return parts.make_of("objective", WeightedSum, members=members)


def _make_member(
    config: ml_collections.ConfigDict,
    name: str,
    values: dict[str, Any],
    vocab_size: int,
    idf: Callable[[], np.ndarray] | None,
) -> Objective:
  """One objective with its settings."""
  make = parts.known("objective.name", name, OBJECTIVES)
  reading = Reading.of(config.data)
  hidden = fields.hidden_values(
      ("time_gaps", *reading.features), reading.table
  )
  known: dict[str, Any] = {
      "num_special": schema.NUM_SPECIAL,
      "unk_id": schema.UNK_ID,
      "mask_id": schema.MASK_ID,
      "cls_id": schema.CLS_ID,
      "no_gap": HIDDEN_GAP,
      "vocab_size": vocab_size,
      "max_segments": config.data.max_segments,
      "hidden": tuple(hidden.items()),
      "total_steps": config.total_steps,
  }
  # An objective takes what it names.
  asked = inspect.signature(make).parameters
  shared = {name: value for name, value in known.items() if name in asked}
  if values.get("strategy") == "idf":
    shared["idf"] = idf() if idf else np.ones(vocab_size, np.float32)
  objective: Objective = parts.make_of("objective", make, **shared, **values)
  return objective


def make_subject(
    config: ml_collections.ConfigDict,
    dataset: Dataset,
    tokenizer: Any,
    graphdef: Any,
    mesh: Mesh,
) -> Subject:
  """A language model, to be scored on any dataset."""
  return Subject(
      dataset=dataset,
      tokenizer=tokenizer,
      reading=Reading.of(config.data),
      spec=parts.batch_spec(config),
      names=parts.encoder_config(config, tokenizer.vocab_size).fields,
      graphdef=graphdef,
      mesh=mesh,
  )


def make_evaluator(
    config: ml_collections.ConfigDict,
    name: str,
    subject: Subject,
    **changes: Any,
) -> Any:
  """The evaluator `config.evals.NAME`.

  Args:
    config: of the run.
    name: of the entry.
    subject: what is scored.
    **changes: settings that are not the config's.
  """
  return parts.named_evaluator(config, name, EVALUATORS, subject, **changes)


def _check_dataset(folder: Path, dataset: Dataset) -> None:
  """Raises UserError if a run was trained on another dataset."""
  path = folder / DATASET
  if not path.exists():
    raise UserError(
        f"{folder} has no {DATASET}: it was made of an exported model, and such"
        " a run cannot be resumed. Start a new one from it, with another"
        f" --workdir and --config.init_from.encoder={folder}."
    )
  if read_entry(path, "fingerprint") != dataset.meta["fingerprint"]:
    raise UserError(
        f"{folder} was trained on another dataset than {dataset.path} (their"
        " fingerprints differ). Use a new --workdir, or the dataset of that"
        " run."
    )

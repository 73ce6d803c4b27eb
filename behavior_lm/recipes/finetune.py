"""Fine-tuning: labelled samples, a pretrained encoder, pooling and a head."""

from collections.abc import Mapping
import functools
import json
import math
from pathlib import Path
from typing import Any

from flax import nnx
from jax.sharding import Mesh
import ml_collections
import numpy as np

from behavior_lm.artifacts.json_files import read_object
from behavior_lm.artifacts.run_folder import load_run_config
from behavior_lm.common.errors import UserError
from behavior_lm.common.files import write_whole
from behavior_lm.data import fields
from behavior_lm.data.categories import save_categories
from behavior_lm.data.labelled_rows import labelled_rows
from behavior_lm.data.packed_rows import RowSource
from behavior_lm.data.reading import Reading
from behavior_lm.data.samples import History
from behavior_lm.data.samples import read_table
from behavior_lm.data.samples import SampleColumns
from behavior_lm.data.samples.splits import Sides
from behavior_lm.data.tokenizers import load_tokenizer
from behavior_lm.evaluation.evaluators import EVALUATORS
from behavior_lm.evaluation.label_scores import LabelSubject
from behavior_lm.layers.pooling import POOLINGS
from behavior_lm.models.encoders import ENCODERS
from behavior_lm.models.encoders.config import EncoderConfig
from behavior_lm.models.label_model import LabelModel
from behavior_lm.objectives.labels import Labels
from behavior_lm.recipes.shared import adaptation
from behavior_lm.recipes.shared import parts
from behavior_lm.recipes.shared.checks import check_loop
from behavior_lm.recipes.shared.checks import check_step
from behavior_lm.recipes.shared.label_space import LabelSpace
from behavior_lm.recipes.shared.sample_sides import make_sides
from behavior_lm.recipes.shared.source_run import encoder_params
from behavior_lm.recipes.shared.source_run import hash_params
from behavior_lm.training.recipe import Batches
from behavior_lm.training.recipe import Evaluator

# Files of a run folder, beside those of `artifacts.run_folder`.
TOKENIZER, CATEGORIES, SAMPLES = "tokenizer", "categories", "samples.json"
# What of a pretrained run says how its encoder reads events.
_READING = ("gap_kind", "features", "extras", "feature_zone")


class Finetune:
  """What experiments/train.py does with configs/finetune.py.

  Args:
    config: see configs/finetune.py; what it takes from the pretrained run, and
      the number of steps of its epochs, is written into it.
    folder: the run folder to resume; None is a new run.

  Raises:
    UserError: if config, run, labels and dataset do not fit.
  """

  def __init__(
      self, config: ml_collections.ConfigDict, folder: Path | None = None
  ) -> None:
    self.config = config
    take_from_run(config)
    self.reading = Reading.of(config.data)
    self.tokenizer = load_tokenizer(
        (folder or Path(config.encoder.run)) / TOKENIZER
    )
    self.dataset = parts.find_dataset(config)
    self.history = History(self.dataset)
    self.table = read_table(
        _labels_path(config),
        parts.make_of("task", SampleColumns, **_columns(config.task)),
        self.history,
        empty_history="drop",
        max_bad_fraction=config.task.max_bad_fraction,
    )
    self.sides: Sides = make_sides(self.table, config.split)
    if folder is not None:
      self._check_samples(folder)
    self.space = LabelSpace.fit(
        self.table,
        self.sides["train"],
        class_weights=config.objective.class_weights,
        weights=config.objective.weights.to_dict(),
    )
    self.objective = Labels(self.space.targets)
    self._rows = self._make_rows(self.sides["train"], train=True)
    self.rows_per_epoch = self._rows.rows_per_epoch
    set_steps(config, self.rows_per_epoch)
    self._check()

  def describe(self) -> str:
    sizes = ", ".join(f"{len(x):,} {name}" for name, x in self.sides.items())
    return (
        f"{self.config.adapt.mode} of {self.config.model.name}, samples:"
        f" {sizes}, {self.rows_per_epoch:,} rows per epoch"
    )

  def save(self, folder: Path) -> None:
    """Writes what predictions need, and what became of the label table."""
    self.tokenizer.save(folder / TOKENIZER)
    save_categories(
        folder / CATEGORIES, self.dataset, self.reading.categorical
    )
    self.space.save(folder)
    about = self._about() | {
        "encoder_sha256": hash_params(encoder_params(self.config.encoder.run)),
    }
    text = json.dumps(about, indent=1, default=str)
    write_whole(folder / SAMPLES, text + "\n")

  def batches(self, host: int, num_hosts: int) -> Batches:
    names = tuple(self.batch_shapes())
    return parts.read_batches(self.config, self._rows, names, host, num_hosts)

  def batch_shapes(self) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """The fields of the model, of the objective, and of `work`."""
    names = (
        *self._names(),
        *self.objective.requires.fields,
        "num_events",
    )
    labels = fields.labels_field(self.space.num_columns)
    data = self.config.data
    return fields.batch_shapes(
        dict.fromkeys(names),
        self.reading.table | {"labels": labels},
        batch_size=data.batch_size,
        max_length=data.max_length,
        max_segments=parts.batch_spec(self.config).segments,
    )

  def make_model(self, rngs: nnx.Rngs) -> nnx.Module:
    encoder = parts.encoder_config(self.config, self.tokenizer.vocab_size)
    return label_model(self.config, encoder, self.space.num_outputs)(rngs=rngs)

  def work(self, batch: Mapping[str, np.ndarray]) -> dict[str, float]:
    return {
        "samples": float((batch["weights"] > 0).sum()),
        "events": float(batch["num_events"].sum()),
        "tokens": float(batch["tokens"].size),
    }

  def make_evaluators(
      self, graphdef: Any, mesh: Mesh
  ) -> dict[str, Evaluator]:
    """Those of `config.evals` that run while training."""
    subject = self.subject(graphdef, mesh)
    return parts.evaluators_while_training(
        self.config, lambda name: self.make_evaluator(name, subject)
    )

  def make_evaluator(self, name: str, subject: LabelSubject) -> Any:
    """The evaluator `config.evals.NAME`."""
    return parts.named_evaluator(self.config, name, EVALUATORS, subject)

  def subject(self, graphdef: Any, mesh: Mesh) -> LabelSubject:
    """The model of this run, to be measured on its samples."""
    return LabelSubject(
        targets=self.space.targets,
        sides={
            name: (
                self._make_rows(rows, train=False),
                self.space.encode(self.table, rows),
            )
            for name, rows in self._measured.items()
        },
        decode=self.space.decode,
        spec=parts.batch_spec(self.config),
        names=self._names(),
        graphdef=graphdef,
        mesh=mesh,
    )

  @property
  def _measured(self) -> Sides:
    """The sides that models are scored on."""
    return {k: rows for k, rows in self.sides.items() if k != "train"}

  def _names(self) -> tuple[str, ...]:
    return parts.encoder_config(self.config, self.tokenizer.vocab_size).fields

  def _make_rows(self, rows: np.ndarray, *, train: bool) -> RowSource:
    spec = parts.batch_spec(self.config)
    labels = self.space.encode(self.table, rows)
    return labelled_rows(
        self.table,
        self.history,
        rows,
        self.space.normalise(labels),
        self.tokenizer,
        self.reading,
        max_length=spec.max_length,
        max_segments=spec.segments,
        excluded_events=[*filter(None, self.config.task.excluded.split(","))],
        seed=self.config.seed,
        train=train,
    )

  def _about(self) -> dict[str, Any]:
    """What the samples of a run are known by, as JSON."""
    about = {
        "fingerprint": self.dataset.meta["fingerprint"],
        "sides": {name: len(rows) for name, rows in self.sides.items()},
        "labels": self.table.summary,
    }
    found: dict[str, Any] = json.loads(json.dumps(about, default=str))
    return found

  def _check_samples(self, folder: Path) -> None:
    """Raises UserError if a run was trained on other samples."""
    there = read_object(folder / SAMPLES)
    for name, value in self._about().items():
      if there.get(name) != value:
        raise UserError(
            f"{folder} was trained on other samples than those of"
            f" {self.config.data.path} and {self.config.task.labels_path}:"
            f" their {name} differ. Use a new --workdir, or the files of that"
            " run."
        )

  def _check(self) -> None:
    config = self.config
    for name, section in config.evals.items():
      parts.known(f"evals.{name}.evaluator", section.evaluator, EVALUATORS)
      parts.known(f"evals.{name}.split", section.split, self._measured)
    if config.head.pooling == "cls" and config.model.causal:
      raise UserError(
          "head.pooling is 'cls', but the encoder is causal: its first token"
          " knows no event. Set --config.head.pooling=last, or mean."
      )
    check_loop(config, config.data.batch_size)
    check_step(self, config)


def take_from_run(config: ml_collections.ConfigDict) -> None:
  """Writes into a config what belongs to the pretrained encoder.

  Raises:
    UserError: if no run is named, or it is none.
  """
  run = config.encoder.run
  if not run:
    raise UserError(
        "no pretrained run: set run=RUN in the argument of the config, or"
        " --config.encoder.run=RUN. (from_scratch=True takes its settings and"
        " tokenizer, but not its parameters.)"
    )
  source = load_run_config(run)
  with config.unlocked(), config.ignore_type():
    config.model = ml_collections.ConfigDict(source.model.to_dict())
    if config.encoder.dropout_rate >= 0:
      config.model.dropout_rate = config.encoder.dropout_rate
    for name in _READING:
      config.data[name] = source.data[name]
    config.data.max_length = config.data.max_length or source.data.max_length
    config.data.path = config.data.path or source.data.path
  if config.model.position_encoding == "learned":
    config.data.max_length = source.data.max_length
  adaptation.set_adaptation(config, num_layers(config.model))


def set_steps(
    config: ml_collections.ConfigDict, rows_per_epoch: float
) -> None:
  """Turns `epochs` into steps, for the run and between evaluations."""
  if not config.epochs:
    return
  steps = rows_per_epoch / config.data.batch_size
  config.total_steps = max(1, math.ceil(config.epochs * steps))
  if config.evals_per_epoch:
    every = max(1, round(steps / config.evals_per_epoch))
    config.evals.valid.every = every


def label_model(
    config: ml_collections.ConfigDict,
    encoder_config: EncoderConfig,
    num_outputs: int,
) -> Any:
  """A function of `rngs` that makes what a run trains."""
  parts.known("head.pooling", config.head.pooling, POOLINGS)

  def make(*, rngs: nnx.Rngs) -> LabelModel:
    encoder = ENCODERS[config.model.name][0](encoder_config, rngs=rngs)
    adaptation.adapt_encoder(encoder, config.adapt, rngs=rngs)
    layer = config.head.layer
    return parts.make_of(
        "head",
        functools.partial(LabelModel, encoder, num_outputs, rngs=rngs),
        pooling=config.head.pooling,
        pooling_options=config.head.pooling_options.to_dict(),
        layer=None if layer < 0 else layer,
        frozen=adaptation.is_frozen(config.adapt.mode),
        hidden_dim=config.head.hidden_dim,
        dropout_rate=config.head.dropout_rate,
    )

  return make


def num_layers(model: ml_collections.ConfigDict) -> int:
  """Layers with weights of their own."""
  return 1 if model.name == "albert" else int(model.num_layers)


def _labels_path(config: ml_collections.ConfigDict) -> str:
  if not config.task.labels_path:
    raise UserError(
        "no labels: set labels=FILE in the argument of the config, or"
        " --config.task.labels_path=FILE."
    )
  path: str = config.task.labels_path
  return path


def _columns(task: ml_collections.ConfigDict) -> dict[str, Any]:
  """The declaration of the label table."""
  return {
      "labels": task.labels.to_dict(),
      "user": task.user,
      "time": task.time,
      "weight": task.weight,
      "timezone": task.timezone,
      "separator": task.separator,
  }

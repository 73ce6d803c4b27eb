"""A language model that reads prompts of several domains, and is adapted."""

from collections.abc import Mapping
import json
from pathlib import Path
from typing import Any

from flax import nnx
from jax.sharding import Mesh
import ml_collections
import numpy as np

from behavior_lm.common.errors import UserError
from behavior_lm.common.files import write_whole
from behavior_lm.data import fields
from behavior_lm.data.packed_rows import RowSource
from behavior_lm.data.prompts.prompt_rows import encode_prompts
from behavior_lm.data.prompts.prompt_rows import prompt_rows
from behavior_lm.data.text import load_text_tokenizer
from behavior_lm.data.text import TextTokenizer
from behavior_lm.data.text.wordpiece import fit_words
from behavior_lm.evaluation.domain_scores import DomainScores
from behavior_lm.evaluation.label_scores import LabelSubject
from behavior_lm.objectives.labels import Labels
from behavior_lm.recipes import finetune
from behavior_lm.recipes.shared import adaptation
from behavior_lm.recipes.shared import language
from behavior_lm.recipes.shared import parts
from behavior_lm.recipes.shared.checks import check_loop
from behavior_lm.recipes.shared.checks import check_step
from behavior_lm.recipes.shared.domain_data import decode
from behavior_lm.recipes.shared.domain_data import DomainData
from behavior_lm.recipes.shared.domain_data import LIKED
from behavior_lm.recipes.shared.source_run import encoder_params
from behavior_lm.recipes.shared.source_run import hash_params
from behavior_lm.training.recipe import Batches
from behavior_lm.training.recipe import Evaluator

EVALUATORS = {"domains": DomainScores}


class Prompts:
  """What experiments/train.py does with configs/prompts.py.

  Args:
    config: see configs/prompts.py; what it takes from the language model is
      written into it.
    folder: the run folder to resume; None is a new run.

  Raises:
    UserError: if config, language model and sources do not fit.
  """

  def __init__(
      self, config: ml_collections.ConfigDict, folder: Path | None = None
  ) -> None:
    self.config = config
    self.data = DomainData(config.prompts)
    self.tokenizer = self._find_tokenizer(folder)
    if folder is not None:
      self.data.check_same(folder)
    config.encoder.from_scratch = not config.encoder.run
    if config.encoder.run:
      language.take_language(config)
    else:
      with config.ignore_type():
        config.model.vocab_size = self.tokenizer.vocab_size
    adaptation.set_adaptation(
        config, finetune.num_layers(config.model), adaptation.PROMPT_MODES
    )
    self.objective = Labels((LIKED,))
    self._tokens = self._encode()
    self._rows = self._make_rows(self.data.rows["train"], train=True)
    self.rows_per_epoch = self._rows.rows_per_epoch
    self._check()

  def describe(self) -> str:
    tokens = sum(len(self._tokens[n]) for n in self.data.rows["train"])
    return (
        f"{self.config.adapt.mode} of {self.config.model.name},"
        f" {self.data.describe()}, {tokens:,} tokens to train on in"
        f" {self.rows_per_epoch:,} rows per epoch"
    )

  def save(self, folder: Path) -> None:
    """Writes the tokenizer, and what the run stands on."""
    self.tokenizer.save(folder / language.TEXT)
    self.data.save(folder)
    run = self.config.encoder.run
    sha256 = hash_params(encoder_params(run)) if run else ""
    about = json.dumps({"encoder_sha256": sha256})
    write_whole(folder / language.ABOUT, about + "\n")

  def batches(self, host: int, num_hosts: int) -> Batches:
    names = tuple(self.batch_shapes())
    return parts.read_batches(self.config, self._rows, names, host, num_hosts)

  def batch_shapes(self) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """The fields of the model and of the objective."""
    data = self.config.data
    return fields.batch_shapes(
        dict.fromkeys((*self._names, *self.objective.requires.fields)),
        fields.FIELDS | {"labels": fields.labels_field(1)},
        batch_size=data.batch_size,
        max_length=data.max_length,
        max_segments=parts.batch_spec(self.config).segments,
    )

  def make_model(self, rngs: nnx.Rngs) -> nnx.Module:
    encoder = language.encoder_config(self.config)
    model: nnx.Module = finetune.label_model(self.config, encoder, 1)(rngs=rngs)
    return model

  def work(self, batch: Mapping[str, np.ndarray]) -> dict[str, float]:
    return {
        "prompts": float((batch["weights"] > 0).sum()),
        "tokens": float((batch["segment_ids"] > 0).sum()),
    }

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
        targets=(LIKED,),
        sides={
            name: (self._make_rows(rows, train=False), self.data.labels[rows])
            for name, rows in self.data.measured().items()
        },
        decode=decode,
        spec=parts.batch_spec(self.config),
        names=self._names,
        graphdef=graphdef,
        mesh=mesh,
    )

  @property
  def _names(self) -> tuple[str, ...]:
    return language.encoder_config(self.config).fields

  def _find_tokenizer(self, folder: Path | None) -> TextTokenizer:
    """Loads the tokenizer of the run or its model, or fits a new one."""
    source = folder or self.config.encoder.run
    if source:
      return load_text_tokenizer(Path(source) / language.TEXT)
    train = (self.data.prompts[row] for row in self.data.rows["train"])
    return fit_words(train, self.config.tokenizer.max_words)

  def _encode(self) -> list[np.ndarray]:
    config = self.config
    encode = lambda prompts: parts.make_of(
        "prompts",
        encode_prompts,
        prompts=prompts,
        tokenizer=self.tokenizer,
        max_length=config.prompts.max_length,
        soft_ids=language.soft_ids(config),
    )
    return encode(self.data.prompts)

  def _make_rows(self, rows: np.ndarray, *, train: bool) -> RowSource:
    spec = parts.batch_spec(self.config)
    return prompt_rows(
        [self._tokens[row] for row in rows],
        self.data.labels[rows],
        max_length=spec.max_length,
        max_segments=spec.segments,
        seed=self.config.seed,
        train=train,
    )

  def _check(self) -> None:
    config = self.config
    check_evals(config, self.data)
    shifted = config.adapt.mode == "prefix" and config.adapt.prefix_shift
    needed = config.prompts.max_length + shifted * config.adapt.prefix_length
    if needed > config.model.max_length:
      raise UserError(
          f"prompts of {config.prompts.max_length} tokens reach the position"
          f" {needed}, but the language model has {config.model.max_length}:"
          " lower --config.prompts.max_length."
      )
    check_loop(config, config.data.batch_size)
    check_step(self, config)


def check_evals(config: ml_collections.ConfigDict, data: DomainData) -> None:
  """Raises UserError if an evaluator of a config is not to be had."""
  for name, section in config.evals.items():
    parts.known(f"evals.{name}.evaluator", section.evaluator, EVALUATORS)
    if section.every:
      parts.known(f"evals.{name}.split", section.split, data.measured())


def make_evaluator(
    config: ml_collections.ConfigDict,
    data: DomainData,
    name: str,
    subject: LabelSubject,
) -> DomainScores:
  """The evaluator `config.evals.NAME`."""
  values = config.evals[name].to_dict()
  make = parts.known(
      f"evals.{name}.evaluator", values.pop("evaluator"), EVALUATORS
  )
  return parts.make_of(
      f"evals.{name}", make, subject=subject, domains=data.domains(), **values
  )

"""From a config to the parts that several recipes share."""

from collections.abc import Callable, Mapping
import dataclasses
import functools
from pathlib import Path
from typing import Any

from flax import nnx
import grain
import ml_collections

from behavior_lm.common.errors import UserError
from behavior_lm.data.pipeline import AnyRows
from behavior_lm.data.pipeline import BatchSpec
from behavior_lm.data.pipeline import make_loader
from behavior_lm.data.reading import Reading
from behavior_lm.data.tokenizers import load_tokenizer
from behavior_lm.data.tokenizers import Tokenizer
from behavior_lm.data.tokenizers.training import train_tokenizer
from behavior_lm.logs import schema
from behavior_lm.logs.dataset import Dataset
from behavior_lm.logs.dataset import open_dataset
from behavior_lm.models.encoders import ENCODERS
from behavior_lm.models.encoders.config import EncoderConfig
from behavior_lm.models.language_model import LanguageModel
from behavior_lm.objectives import SCORED
from behavior_lm.objectives import WITH_TOKEN_HEAD
from behavior_lm.training.recipe import Batches


def known[T](field: str, name: str, table: Mapping[str, T]) -> T:
  """The entry of a table that a config names.

  Raises:
    UserError: if there is none.
  """
  if name not in table:
    raise UserError(f"config.{field} is {name!r}; known are {sorted(table)}.")
  return table[name]


def make_of[T](field: str, make: Callable[..., T], **values: Any) -> T:
  """`make(**values)`; what it refuses is an error of the config's section.

  Raises:
    UserError: if a value is unknown or wrong.
  """
  try:
    return make(**values)
  except UserError:
    raise
  except (TypeError, ValueError) as error:
    raise UserError(f"config.{field}: {error}") from error


def named_evaluator(
    config: ml_collections.ConfigDict,
    name: str,
    table: Mapping[str, Any],
    subject: Any,
    **changes: Any,
) -> Any:
  """The evaluator `config.evals.NAME`.

  Args:
    config: of the run.
    name: of the entry.
    table: the evaluators of the recipe by their kind.
    subject: what is scored.
    **changes: settings that are not the config's.

  Raises:
    UserError: if the kind or a setting is unknown.
  """
  values = config.evals[name].to_dict()
  make = known(f"evals.{name}.evaluator", values.pop("evaluator"), table)
  return make_of(f"evals.{name}", make, subject=subject, **(values | changes))


def evaluators_while_training(
    config: ml_collections.ConfigDict, make: Callable[[str], Any]
) -> dict[str, Any]:
  """{name: make(name)} of the evaluators that run while training."""
  return {
      name: make(name) for name, one in config.evals.items() if one.every
  }


def without_name(section: ml_collections.ConfigDict) -> dict[str, Any]:
  """The settings of a section beside `name`.

  A setting with one value per layer comes from config.json as a list; models
  want a tuple.
  """
  return {
      name: tuple(value) if isinstance(value, list) else value
      for name, value in section.items()
      if name != "name"
  }


def objective_settings(
    config: ml_collections.ConfigDict,
) -> dict[str, dict[str, Any]]:
  """The settings of each objective of a run by its name.

  `objective.name` is one name, whose settings stand beside it, or several with
  "+" between them, each with a section of its own and a `weight` in it.

  Raises:
    UserError: if a section is missing.
  """
  names = config.objective.name.split("+")
  if len(names) == 1:
    return {names[0]: without_name(config.objective)}
  for name in names:
    if name not in config.objective:
      raise UserError(
          f"config.objective.name is {config.objective.name!r}, but there is no"
          f" section config.objective.{name}. Choose the objectives in the"
          f" config's argument: objective={config.objective.name}."
      )
  return {name: without_name(config.objective[name]) for name in names}


def find_dataset(config: ml_collections.ConfigDict) -> Dataset:
  """The dataset of `config.data.path`; its fingerprint goes into the config.

  So two runs on different datasets have different configs and hashes.
  """
  if not config.data.path:
    raise UserError(
        "no dataset: set --config.data.path to a folder that"
        " experiments/prepare.py wrote."
    )
  dataset = open_dataset(config.data.path)
  with config.data.unlocked():
    config.data.fingerprint = dataset.meta["fingerprint"]
  return dataset


def describe_extras(
    config: ml_collections.ConfigDict, known: Mapping[str, schema.Extra]
) -> None:
  """Writes what a model must know of extra columns into its config.

  They are the dataset's, so that a run folder says how numbers were normalised
  in training. Configs of the command line are locked.

  Args:
    config: of the run; its `data.extras` is changed.
    known: the columns that there are.
  """
  with config.unlocked():
    for name in Reading.of(config.data).extras:
      if name in known:
        config.data.extras[name] = dataclasses.asdict(known[name])


def make_tokenizer(
    config: ml_collections.ConfigDict, dataset: Dataset
) -> Tokenizer:
  """The tokenizer of a new run, trained on the training split alone.

  An encoder that comes from another run brings that run's tokenizer: the rows
  of its tables are tokens of that one.

  Raises:
    UserError: if a setting is wrong, or `tokenizer.path` names another
      tokenizer than that of `init_from.encoder`.
  """
  path, source = config.tokenizer.path, config.init_from.encoder
  if source:
    tokenizer = load_tokenizer(Path(source) / "tokenizer")
    if path and load_tokenizer(path).fingerprint != tokenizer.fingerprint:
      raise UserError(
          f"tokenizer.path {path} is another tokenizer than that of"
          f" init_from.encoder {source}, whose parameters belong to its own"
          " tokens. Leave tokenizer.path empty."
      )
    return tokenizer
  if path:
    return load_tokenizer(path)
  values = config.tokenizer.to_dict()
  del values["path"]
  try:
    return train_tokenizer(dataset, **values, seed=config.seed)
  except TypeError as error:
    raise UserError(f"config.tokenizer: {error}") from error


def encoder_config(
    config: ml_collections.ConfigDict, vocab_size: int
) -> EncoderConfig:
  """The encoder's own config from the sections `model` and `data`.

  Raises:
    UserError: if the model or one of its settings is unknown.
  """
  _, make_config = known("model.name", config.model.name, ENCODERS)
  return make_of(
      "model",
      make_config,
      vocab_size=vocab_size,
      max_length=config.data.max_length,
      max_segments=config.data.max_segments,
      features=Reading.of(config.data).categories,
      **without_name(config.model),
  )


def language_model(
    config: ml_collections.ConfigDict, vocab_size: int
) -> Callable[..., nnx.Module]:
  """A function of `rngs` that makes an encoder with its heads."""
  objectives = objective_settings(config)
  components = (
      values["gap_components"]
      for values in objectives.values()
      if values.get("gap_weight", 0)
  )
  return functools.partial(
      LanguageModel,
      config.model.name,
      encoder_config(config, vocab_size),
      gap_components=next(components, 0),
      scores=tuple(name for name in SCORED if name in objectives),
      token_heads=tuple(
          name for name in WITH_TOKEN_HEAD if name in objectives
      ),
  )


def read_batches(
    config: ml_collections.ConfigDict,
    rows: AnyRows,
    names: tuple[str, ...],
    host: int,
    num_hosts: int,
) -> Batches:
  """Reads what `open_loader` opens, from the start."""
  batches: Batches = iter(open_loader(config, rows, names, host, num_hosts))
  return batches


def open_loader(
    config: ml_collections.ConfigDict,
    rows: AnyRows,
    names: tuple[str, ...],
    host: int,
    num_hosts: int,
) -> grain.IterDataset:
  """One host's share of the batches of packed rows.

  Args:
    config: of the run.
    rows: of all epochs, packed or plain.
    names: the fields that a batch holds.
    host, num_hosts: which host this is, of how many.
  """
  return make_loader(
      rows,
      batch_spec(config, num_hosts),
      host_index=host,
      num_hosts=num_hosts,
      names=names,
  )


def batch_spec(
    config: ml_collections.ConfigDict, num_hosts: int = 1
) -> BatchSpec:
  """The batch of one host; `data.batch_size` counts rows of all hosts."""
  if config.data.batch_size % num_hosts:
    raise UserError(
        f"data.batch_size {config.data.batch_size} does not divide among"
        f" {num_hosts} hosts."
    )
  return BatchSpec(
      batch_size=config.data.batch_size // num_hosts,
      max_length=config.data.max_length,
      max_segments=config.data.max_segments,
      pack=config.data.pack,
      prefetch=config.data.prefetch,
  )

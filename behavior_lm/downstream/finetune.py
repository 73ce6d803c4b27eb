"""Fine-tuning as a library call.

from behavior_lm.downstream.finetune import fit
from configs.finetune import get_config

config = get_config("task=bot,run=runs/gate,mode=lora")
model = fit(config, "logs.parquet", "labels.csv", "runs/bot")
model.predict(logs)  # user_id, bot
"""

from collections.abc import Iterator, Mapping
import functools
import itertools
from pathlib import Path
from typing import Any

import jax
import ml_collections
import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.common.progress import CommandProgress
from behavior_lm.data.fields import Batch
from behavior_lm.data.reading import Reading
from behavior_lm.data.token_source import Fields
from behavior_lm.evaluation.label_scores import make_label_program
from behavior_lm.inference.explain.attribution import hide_events
from behavior_lm.inference.explain.attribution import make_attribution
from behavior_lm.inference.explain.attribution import TABLE
from behavior_lm.inference.explain.attribution import token_table
from behavior_lm.inference.frames import cut_frame
from behavior_lm.inference.inputs import groups
from behavior_lm.inference.inputs import last_windows
from behavior_lm.inference.sequences import Reader
from behavior_lm.layers.adapters.lora import merge_lora
from behavior_lm.logs import ingest
from behavior_lm.logs import schema
from behavior_lm.recipes.finetune import Finetune
from behavior_lm.recipes.finetune_loading import load_finetuned
from behavior_lm.recipes.finetune_loading import LoadedLabels
from behavior_lm.recipes.train import train
from behavior_lm.training.sharding import make_mesh
from behavior_lm.training.state import merge_model
from behavior_lm.training.state import split_model

_BATCH_TOKENS = 8_192


class FineTuned:
  """A model that predicts labels of users from their events.

  Attributes:
    config, space: of the run; `space.classes` names the classes.
    step: of the checkpoint.
  """

  def __init__(self, run: LoadedLabels) -> None:
    self.config, self.space, self.step = run.config, run.space, run.step
    model = merge_model(run.graphdef, run.params, run.model_state)
    merge_lora(model.encoder)
    # Gradients of a probe's inputs pass through its encoder, see `attribute`.
    model.frozen = False
    graphdef, *self._state = split_model(model)
    self._program = jax.jit(make_label_program(graphdef))
    self._attribute = jax.jit(
        make_attribution(graphdef), static_argnames="steps"
    )
    self._names = run.fields
    self._reader = Reader(
        run.tokenizer, Reading.of(run.config.data), run.categories
    )

  @classmethod
  def load(cls, folder: str | Path, *, best: bool = True) -> "FineTuned":
    """Loads the folder of a fine-tuned run, see `load_finetuned`."""
    return cls(load_finetuned(folder, best=best))

  def predict(self, logs: pl.DataFrame) -> pl.DataFrame:
    """Predicts the labels of each user, from the last events in the table.

    Args:
      logs: user_id, event_id, design_id (optional), timestamp, and the extra
        columns that the encoder reads. It is for the caller to leave out what
        happened at or after the time of the prediction.

    Returns:
      user_id in the order of first appearance (without users of whom
      `task.excluded` leaves no event), and a column per label: the
      probability (binary), the number (regression), or an Array of
      probabilities in the order of `space.classes`.

    Raises:
      UserError: if the table cannot be read.
    """
    table, batches = self._read(logs)
    found = [np.empty((0, self.space.num_outputs), np.float32)]
    for group, batch in batches:
      # One sequence is one row, whose only segment is the first.
      outputs = self._program(*self._state, batch)[: len(group), 0]
      found.append(np.asarray(outputs))
    predicted = self.space.decode(np.concatenate(found))
    return table.select(schema.USER_ID).with_columns(
        **{name: _column(values) for name, values in predicted.items()}
    )

  def attribute(
      self,
      logs: pl.DataFrame,
      label: str = "",
      output: int = 0,
      steps: int = 32,
  ) -> pl.DataFrame:
    """Which events carry a prediction, see `inference.explain.attribution`.

    Args:
      logs: see `predict`.
      label: the label that is predicted; empty is the first one.
      output: of its outputs, for a label of several classes.
      steps: of the integral; the more, the nearer the sum of all shares is to
        the difference that they share out.

    Returns:
      A row per token of the last window of each user, CLS first: user_id,
      timestamp (of the token's first event), token, label, attribution (what it
      adds to the logit, or to the number of a regression in standard
      deviations), and the same for all tokens of a user: prediction (the
      logit), baseline (that of the same sequence with its events hidden). The
      attributions of a user add up to the difference of the two.

    Raises:
      UserError: if the table cannot be read, or there is no such label.
    """
    label = label or self.space.targets[0].name
    column = self.space.output_column(label, output)
    fields = self._reader.reading.table
    table, batches = self._read(logs)
    users = iter(table.rows())
    frames: list[pl.DataFrame] = []
    for group, batch in batches:
      hidden = hide_events(batch, fields)
      arrays = self._attribute(
          *self._state, batch, hidden, column, steps=steps
      )
      shares, ends = map(np.asarray, arrays)
      frames.extend(
          token_table(
              sequence, user, start, label, shares[row], ends[:, row]
          )
          for row, (sequence, (user, start, _)) in enumerate(
              zip(group, itertools.islice(users, len(group)), strict=True)
          )
      )
    names = pl.Series(self._reader.tokenizer.tokens)
    found = pl.concat(frames) if frames else pl.DataFrame(schema=TABLE)
    return found.with_columns(token=names.gather(found["token"]))

  def _read(
      self, logs: pl.DataFrame
  ) -> tuple[pl.DataFrame, Iterator[tuple[tuple[Fields, ...], Batch]]]:
    """A row per user; their sequences, and the last window of each, as rows."""
    excluded = [*filter(None, self.config.task.excluded.split(","))]
    if excluded and schema.EVENT_ID in logs.columns:
      logs = logs.filter(
          ~pl.col(schema.EVENT_ID).cast(pl.String).is_in(excluded)
      )
    table, sequences = cut_frame(logs, self._reader)
    max_length = int(self.config.data.max_length)
    size = max(1, _BATCH_TOKENS // max_length)
    read = functools.partial(
        last_windows,
        names=self._names,
        table=self._reader.reading.table,
        max_length=max_length,
        batch_size=size,
    )
    return table, ((group, read(group)) for group in groups(sequences, size))


def fit(
    config: ml_collections.ConfigDict,
    logs: str | Path | pl.DataFrame,
    labels: str | Path | pl.DataFrame,
    workdir: str | Path,
) -> FineTuned:
  """Fine-tunes a pretrained encoder; the same call resumes it.

  Args:
    config: of configs/finetune.py.
    logs: the folder of a prepared dataset, a log file, or a table of user_id,
      event_id, design_id (optional) and timestamp.
    labels: a CSV or Parquet file, or a table, of user_id and the labels.
    workdir: the run folder; what is made of tables is kept beside it.

  Raises:
    UserError: if anything does not fit.
  """
  workdir = Path(workdir)
  beside = workdir.with_name(f"{workdir.name}.data")
  config.data.path = str(_dataset(logs, beside))
  config.task.labels_path = str(_file(labels, beside / "labels.parquet"))
  train(config, workdir)
  return FineTuned.load(workdir)


def evaluate(folder: str | Path) -> tuple[dict[str, Any], pl.DataFrame]:
  """Scores the best checkpoint of a run on its own test samples.

  Args:
    folder: of the run; its dataset and labels are where its config says.

  Returns:
    {"valid", "test": figures}, see `label_metrics`, thresholds being chosen on
    valid; and a table of the test samples: user_id, each label, and what was
    predicted, as NAME/predicted.
  """
  run = load_finetuned(folder)
  recipe = Finetune(run.config, Path(folder))
  subject = recipe.subject(run.graphdef, make_mesh())
  figures = {
      name: recipe.make_evaluator(name, subject).run(run.state)
      for name in ("valid", "test")
  }
  return figures, _predictions(recipe, subject.predict(run.state, "test"))


def _predictions(
    recipe: Finetune, predicted: Mapping[str, np.ndarray]
) -> pl.DataFrame:
  names = [f"label/{name}" for name in predicted]
  frame = recipe.table.frame[recipe.sides["test"]]
  return (
      frame.select(schema.USER_ID, "sample/time", *names)
      .rename({name: name.removeprefix("label/") for name in names})
      .with_columns(
          **{f"{k}/predicted": _column(v) for k, v in predicted.items()}
      )
  )


def _column(values: np.ndarray) -> pl.Series:
  if values.ndim == 1:
    return pl.Series(values, dtype=pl.Float32)
  return pl.Series(values, dtype=pl.Array(pl.Float32, values.shape[1]))


def _dataset(logs: str | Path | pl.DataFrame, beside: Path) -> Path:
  """A prepared dataset of the logs; one made before is taken."""
  if not isinstance(logs, pl.DataFrame) and Path(logs).is_dir():
    return Path(logs)
  out = beside / "dataset"
  source = _file(logs, beside / "logs.parquet")
  if not out.exists():
    options = ingest.Options(logs=str(source), out=str(out), unit="user")
    ingest.prepare(options, CommandProgress())
  return out


def _file(table: str | Path | pl.DataFrame, path: Path) -> Path:
  """The file of a table, written if need be.

  Raises:
    UserError: if another table was written there before.
  """
  if not isinstance(table, pl.DataFrame):
    return Path(table)
  if path.exists():
    if not pl.read_parquet(path).equals(table):
      raise UserError(
          f"{path}: another table was fine-tuned on there before. Choose"
          " another workdir, or delete this one and the folder of the file."
      )
    return path
  path.parent.mkdir(parents=True, exist_ok=True)
  table.write_parquet(path)
  return path

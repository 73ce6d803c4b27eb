"""Fine-tuning as a library call.

from behavior_lm.downstream.finetune import fit
from configs.finetune import get_config

config = get_config("task=bot,run=runs/gate,mode=lora")
model = fit(config, "logs.parquet", "labels.csv", "runs/bot")
model.predict(logs)  # user_id, bot
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import ml_collections
import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.common.progress import CommandProgress
from behavior_lm.data.reading import Reading
from behavior_lm.evaluation.label_scores import make_label_program
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
    graphdef, *self._state = split_model(model)
    self._program = jax.jit(make_label_program(graphdef))
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
    excluded = [*filter(None, self.config.task.excluded.split(","))]
    if excluded and schema.EVENT_ID in logs.columns:
      logs = logs.filter(
          ~pl.col(schema.EVENT_ID).cast(pl.String).is_in(excluded)
      )
    table, sequences = cut_frame(logs, self._reader)
    max_length = int(self.config.data.max_length)
    size = max(1, _BATCH_TOKENS // max_length)
    found = [np.empty((0, self.space.num_outputs), np.float32)]
    for group in groups(sequences, size):
      batch = last_windows(
          group,
          self._names,
          self._reader.reading.table,
          max_length=max_length,
          batch_size=size,
      )
      # One sequence is one row, whose only segment is the first.
      outputs = self._program(*self._state, batch)[: len(group), 0]
      found.append(np.asarray(outputs))
    predicted = self.space.decode(np.concatenate(found))
    return table.select(schema.USER_ID).with_columns(
        **{name: _column(values) for name, values in predicted.items()}
    )


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

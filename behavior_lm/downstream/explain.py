"""Why a fine-tuned model predicts what it does for users of a dataset."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.data.reading import Reading
from behavior_lm.data.samples.history import END_OF_HISTORY
from behavior_lm.data.samples.history import History
from behavior_lm.downstream.finetune import FineTuned
from behavior_lm.inference.explain.surprise import last_surprise
from behavior_lm.logs import schema
from behavior_lm.logs.dataset import open_dataset
from behavior_lm.recipes.shared.loading import load_run


def user_events(history: History, user: str) -> pl.DataFrame:
  """The events of a user as a log: user_id, event_id, design_id, ...

  Args:
    history: of the dataset.
    user: raw id.

  Raises:
    UserError: if the dataset has no such user.
  """
  code = int(history.codes(pl.Series([user]))[0])
  if code < 0:
    raise UserError(f"user {user!r} has no events in the dataset.")
  found = history.before(code, END_OF_HISTORY)
  pairs = history.pairs[found.pop("pair")]
  return pl.DataFrame({
      schema.USER_ID: pl.Series([user] * len(pairs)),
      schema.EVENT_ID: pairs[schema.EVENT_ID],
      schema.DESIGN_ID: pairs[schema.DESIGN_ID],
      **found,
  })


def explain_users(
    run: str | Path,
    data: str | Path,
    users: Sequence[str],
    *,
    label: str = "",
    output: int = 0,
    steps: int = 32,
    causal_run: str | Path = "",
) -> pl.DataFrame:
  """What each of the last events of some users adds to a prediction.

  Args:
    run: folder of a fine-tuned run.
    data: a prepared dataset.
    users: raw ids.
    label, output, steps: see `FineTuned.attribute`.
    causal_run: folder of a pretrained causal run that tells how unexpected
      each event was; empty is none.

  Returns:
    The table of `FineTuned.attribute`; with a causal run also `surprise`, in
    bits, which is null for CLS and for events before that model's window.

  Raises:
    UserError: if the run or the dataset cannot be read, or a user is not
      there.
  """
  model = FineTuned.load(run)
  if columns := Reading.of(model.config.data).categorical:
    raise UserError(
        f"{run}: this run reads the categorical columns {', '.join(columns)},"
        " whose values a dataset keeps as codes of its own. Call"
        " FineTuned.attribute with a table of events."
    )
  history = History(open_dataset(data))
  logs = pl.concat([user_events(history, user) for user in users])
  found = model.attribute(logs, label, output, steps)
  if not causal_run:
    return found
  bits = last_surprise(load_run(causal_run), logs)
  parts = found.partition_by(schema.USER_ID, maintain_order=True)
  return pl.concat([
      part.with_columns(surprise=_at_the_end(own, len(part)))
      for part, own in zip(parts, bits, strict=True)
  ])


def _at_the_end(bits: np.ndarray, rows: int) -> pl.Series:
  """[rows] whose last are those of the events; the first row is CLS."""
  known = bits[max(0, len(bits) - (rows - 1)) :]
  before = [None] * (rows - len(known))
  return pl.Series([*before, *known.tolist()], dtype=pl.Float64)

"""Interest vectors of all users of a dataset, over their whole histories."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import polars as pl

from behavior_lm.artifacts import vectors as stores
from behavior_lm.common import resumable
from behavior_lm.common.errors import UserError
from behavior_lm.common.lock import held_beside
from behavior_lm.common.progress import Bar
from behavior_lm.data.items.histories import Histories
from behavior_lm.data.items.histories import ItemSource
from behavior_lm.data.items.interest_rows import LONG
from behavior_lm.data.items.interest_rows import span_fields
from behavior_lm.evaluation.own_short import InterestSubject
from behavior_lm.evaluation.own_short import unit
from behavior_lm.inference.dataset_embeddings import Outcome
from behavior_lm.logs.dataset import Dataset
from behavior_lm.recipes.interest_run import InterestRun
from behavior_lm.training.sharding import make_mesh
from behavior_lm.training.state import merge_model

_USERS = 64


def embed_users(
    run: InterestRun,
    dataset: Dataset,
    folder: Path,
    *,
    splits: Sequence[str] = (),
    out: str = "",
    overwrite: bool = False,
    say: Callable[[str], None] = print,
) -> Outcome:
  """Writes one vector of length 1 per user, by the tower of long sequences.

  A user's events of all splits are one sequence, in order of time; where it is
  longer than the model, its newest events count. The table has the columns
  user_id (raw), start, num_events and embedding, see `artifacts.vectors`.

  Args:
    run: the model.
    dataset: any.
    folder: of the run; the result goes there by default.
    splits: whose events are read; all of the dataset when empty.
    out: the file to write.
    overwrite: replace a file that is there.
    say: told what a person should know.

  Raises:
    UserError: if there is a file at `out`, a split is unknown, or no user has
      an event with an item.
  """
  names = list(splits) or dataset.splits
  for name in names:
    dataset.check_split(name)
  path = Path(out) if out else _default_path(folder, dataset, names, run.step)
  settings = {
      "recipe": "interest",
      "step": run.step,
      "dataset": dataset.meta["fingerprint"],
      "splits": names,
      "unit": "user",
      "run": folder.resolve().name,
      "data": dataset.path.resolve().name,
  }
  if path.exists() and not overwrite:
    different = resumable.differences(
        stores.read_settings(path), settings, ("run", "data")
    )
    if different:
      raise UserError(
          f"{path}: is there already, made otherwise: {different}. Pass"
          " --overwrite to replace it, or another --out."
      )
    rows = pl.scan_parquet(path).select(pl.len()).collect().item()
    say(f"{path} is there already, with these settings; nothing was computed")
    return Outcome(path, int(rows), 0, 0, 0, 0.0)
  with held_beside(path, f"--out {path}"):
    subject = run.subject(dataset, make_mesh())
    found = subject.histories(names)
    users = np.flatnonzero(found.lengths > 0)
    if not len(users):
      raise UserError(
          f"{dataset.path}: no user has an event with an item in"
          f" {', '.join(names)}."
      )
    bar = Bar(len(users))
    try:
      vectors = user_vectors(run, subject, found, users, bar)
    finally:
      bar.close()
    first = found.offsets[users]
    table = pl.DataFrame({
        "user_id": [found.users[user] for user in users],
        "start": pl.Series(found.times[first]).cast(pl.Datetime("us", "UTC")),
        "num_events": found.lengths[users],
    }).with_columns(stores.embedding_column(vectors))
    stores.write_embeddings(path, table, settings)
  events = int(found.lengths.sum())
  return Outcome(
      path, len(users), events, len(users), events, max(bar.seconds, 1e-9)
  )


def user_vectors(
    run: InterestRun,
    subject: InterestSubject,
    found: Histories,
    users: np.ndarray,
    bar: Bar | None = None,
) -> np.ndarray:
  """[users, embed_dim] float32 of length 1, of whole histories.

  Args:
    run: the model.
    subject: of it, see `InterestRun.subject`.
    found: histories.
    users: places in them.
    bar: told how far it is.
  """

  @jax.jit
  def encode(params: Any, model_state: Any, fields: Any) -> jax.Array:
    with jax.default_matmul_precision("float32"):
      model = merge_model(run.graphdef, params, model_state)
      vectors: jax.Array = model.vectors(fields, LONG)
      return vectors

  source = ItemSource(found, subject.reading)
  room = subject.spans.long_length
  size = min(_USERS, len(users))
  parts = []
  for begin in range(0, len(users), size):
    here = users[begin : begin + size]
    rows = []
    for user in here:
      length = int(found.lengths[user])
      rows.append(
          span_fields(
              source[int(user)],
              max(0, length - room),
              length,
              room,
              subject.reading.table,
              subject.spans,
          )
      )
    # The last batch repeats its first row: one shape is compiled.
    rows += rows[:1] * (size - len(here))
    fields = {
        name: np.stack([row[name] for row in rows]) for name in subject.names
    }
    made = encode(run.params, run.model_state, fields)
    parts.append(np.asarray(made)[: len(here)])
    if bar is not None:
      bar.add(int(found.lengths[here].sum()), len(here))
  return unit(np.concatenate(parts)).astype(np.float32)


def _default_path(
    folder: Path, dataset: Dataset, splits: Sequence[str], step: int
) -> Path:
  words = [dataset.path.resolve().name]
  words += [] if list(splits) == dataset.splits else list(splits)
  name = "_".join([*words, "user", f"step{step}.parquet"])
  return folder / "embeddings" / name

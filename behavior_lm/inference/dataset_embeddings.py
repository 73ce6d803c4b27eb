"""Embeds a dataset, part by part, so that a killed run goes on."""

from collections.abc import Callable, Sequence
import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from behavior_lm.artifacts import vectors as stores
from behavior_lm.common import resumable
from behavior_lm.common.errors import UserError
from behavior_lm.common.files import whole_file
from behavior_lm.common.progress import Bar
from behavior_lm.data.token_source import open_tokens
from behavior_lm.inference.batching import Cut
from behavior_lm.inference.embedder import Embedder
from behavior_lm.logs import schema
from behavior_lm.logs.dataset import Dataset
from behavior_lm.logs.sequences import UNITS
from behavior_lm.logs.sequences import USER

# What a kill may cost. Each part ends with batches that are not full, a few
# percent of its work at this size.
PART_EVENTS = 2**18
_PART_ROWS = 2**13
# Folders may be renamed; fingerprints say what they hold.
_NAMES = ("run", "data")


@dataclasses.dataclass(frozen=True)
class Request:
  """What to embed, and how.

  Attributes:
    splits: names; all of the dataset when empty.
    unit: "user_day" or "user"; the dataset's own when empty. The days of a
      user are pooled to one row within a split, by their events.
    pooling, layer, batch_size: see `Embedder.encode`.
    out: the file to write; in the run folder, named by the settings, when
      empty.
    overwrite: replace a file of other settings.
    part_events: events between two saves.
    cut: how long sequences are read.
  """

  splits: Sequence[str] = ()
  unit: str = ""
  pooling: str = "mean"
  layer: int | None = None
  batch_size: int | None = None
  out: str = ""
  overwrite: bool = False
  part_events: int = PART_EVENTS
  cut: Cut = Cut()


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What was done.

  Attributes:
    path: of the result.
    rows, events: of the result.
    new_rows, new_events: of them, computed now.
    seconds: that it took, compilation included.
  """

  path: Path
  rows: int
  events: int
  new_rows: int
  new_events: int
  seconds: float


@dataclasses.dataclass(frozen=True)
class _Part:
  """Rows of the result that are computed together."""

  name: str
  rows: pl.DataFrame

  @property
  def file(self) -> str:
    """Of its vectors, in the folder of parts."""
    return f"{self.name}.parquet"


def embed_dataset(
    embedder: Embedder,
    dataset: Dataset,
    request: Request,
    *,
    run: Path,
    say: Callable[[str], None] = print,
) -> Outcome:
  """Writes the vectors of a dataset as one table.

  The table has the columns split, user_id, start (null where days were pooled
  to a user), num_events, embedding; see `stores`. Killed and started again, it
  goes on where it was.

  Args:
    embedder: of the run.
    dataset: any; the run may have been trained on another one.
    request: what and how.
    run: the run folder, where the result goes by default.
    say: told what a person should know.

  Raises:
    UserError: if the request cannot be met, or there is a result or unfinished
      work of other settings in its place.
  """
  splits, unit = _check(dataset, request)
  embedder.choose_pooling(request.pooling)
  layer = embedder.layer_number(request.layer)
  request = dataclasses.replace(
      request, batch_size=embedder.choose_batch_size(request.batch_size)
  )
  settings = {
      "model": embedder.fingerprint,
      "config_hash": embedder.config_hash,
      "step": embedder.step,
      "dataset": dataset.meta["fingerprint"],
      "splits": splits,
      "unit": unit,
      "pooling": request.pooling,
      "layer": layer,
      "part_events": request.part_events,
      "stride": request.cut.stride,
      "last": request.cut.last,
      "embed_dim": embedder.embed_dim,
      "run": run.resolve().name,
      "data": dataset.path.resolve().name,
  }
  out = Path(request.out) if request.out else _default_path(run, settings)
  plan = [
      part
      for split in splits
      for part in _plan(dataset, split, unit, request.part_events)
  ]
  rows = sum(part.rows.height for part in plan)
  events = int(sum(part.rows["num_events"].sum() for part in plan))
  if not plan:
    raise UserError(f"{dataset.path}: {', '.join(splits)} has no sequences.")
  if _is_finished(out, settings, request.overwrite):
    say(f"{out} is there already, with these settings; nothing was computed")
    # A run that was killed after it wrote the result left its parts.
    with (
        contextlib.suppress(UserError),
        resumable.work_folder(out, settings, _NAMES),
    ):
      pass
    return Outcome(out, rows, events, 0, 0, 0.0)
  with resumable.work_folder(out, settings, _NAMES) as folder:
    done = _make_parts(embedder, dataset, request, folder, plan, say)
    files = [folder / part.file for part in plan]
    stores.write_embeddings(out, pl.scan_parquet(files), settings)
  return Outcome(out, rows, events, done.rows, done.events, done.seconds)


def _check(dataset: Dataset, request: Request) -> tuple[list[str], str]:
  """The splits and the unit, checked."""
  splits = list(request.splits) or dataset.splits
  for split in splits:
    dataset.source(split)  # A UserError that lists the splits there are.
  if len(set(splits)) < len(splits):
    raise UserError(f"--splits {','.join(splits)} names a split twice.")
  own = dataset.meta["unit"]
  unit = request.unit or own
  if unit not in UNITS:
    raise UserError(f"--unit {unit!r}; known are {', '.join(UNITS)}.")
  if unit != own and unit != USER:
    raise UserError(
        f"{dataset.path}: one sequence is a {own}, so it has no rows of a"
        f" {unit}. Prepare the log with --unit {unit}."
    )
  if request.out:
    stores.find_store(request.out)
  if request.part_events < 1:
    raise UserError(
        f"--part_events is {request.part_events}; it must be at least 1."
    )
  return splits, unit


def _default_path(run: Path, settings: dict[str, Any]) -> Path:
  parts = [settings["data"], *settings["splits"], settings["unit"]]
  parts += [settings["pooling"], f"layer{settings['layer']}"]
  parts += [
      f"{name}{settings[name]}"
      for name in ("stride", "last")
      if settings[name] is not None
  ]
  name = "_".join([*parts, f"step{settings['step']}.parquet"])
  return run / "embeddings" / name


def _is_finished(
    out: Path, settings: dict[str, Any], overwrite: bool
) -> bool:
  """Whether the result is there; UserError if another one is."""
  if out.is_dir():
    raise UserError(f"{out}: is a folder; give a file as --out.")
  if not out.exists():
    return False
  try:
    different = resumable.differences(
        stores.read_settings(out), settings, _NAMES
    )
  except UserError:
    different = "it cannot be read"
  if not different:
    return True
  if overwrite:
    return False
  raise UserError(
      f"{out}: is there already, made otherwise: {different}. Pass --overwrite"
      " to replace it, or another --out."
  )


def _plan(
    dataset: Dataset, split: str, unit: str, part_events: int
) -> list[_Part]:
  """Cuts the rows of a split into parts; depends on the arguments alone.

  Rows have the columns of the result but `embedding`, and `sequences`, a list
  of the indices of their sequences.
  """
  rows = dataset.sequences(split).select(
      "split",
      schema.USER_ID,
      "start",
      pl.col("num_events").cast(pl.Int64),
      pl.concat_list("index").alias("sequences"),
  )
  if unit != dataset.meta["unit"]:
    rows = (
        rows.sort("start", maintain_order=True)
        .group_by("split", schema.USER_ID)
        .agg(
            pl.lit(None, rows.schema["start"]).first().alias("start"),
            pl.col("num_events").sum(),
            pl.col("sequences").explode(),
        )
        .sort(pl.col("sequences").list.min())
    )
  num_events = rows["num_events"].to_numpy()
  before = np.cumsum(num_events) - num_events
  # A new part begins where the count of events or rows passes a multiple.
  key = before // part_events + np.arange(rows.height) // _PART_ROWS
  first = np.flatnonzero(np.diff(key, prepend=-1))
  last = [*first[1:], rows.height] if len(first) else []
  return [
      _Part(f"{split}-{begin:09}-{end:09}", rows.slice(begin, end - begin))
      for begin, end in zip(first.tolist(), last, strict=True)
  ]


def _make_parts(
    embedder: Embedder,
    dataset: Dataset,
    request: Request,
    folder: Path,
    plan: list[_Part],
    say: Callable[[str], None],
) -> Bar:
  """Makes the files of all parts; counts what was computed for them."""
  missing = []
  for part in plan:
    if resumable.finished(folder, part.name) is None:
      missing.append(part)
      if resumable.was_finished(folder, part.name):
        say(f"{folder / part.file}: was damaged; it is computed again")
  if len(missing) < len(plan):
    there = len(plan) - len(missing)
    say(f"continuing: {there} of {len(plan)} parts are there already")
  reading = embedder.reader.reading
  sources = {
      split: open_tokens(dataset, split, embedder.tokenizer, reading)
      for split in dataset.splits
  }
  bar = Bar(sum(part.rows.height for part in missing))
  try:
    for part in missing:
      vectors = embedder.encode_rows(
          (
              (sources[split][index] for index in indices)
              for split, indices in part.rows.select(
                  "split", "sequences"
              ).iter_rows()
          ),
          pooling=request.pooling,
          layer=request.layer,
          batch_size=request.batch_size,
          num_rows=part.rows.height,
          watch=bar.add,
          cut=request.cut,
      )
      table = part.rows.drop("sequences").with_columns(
          stores.embedding_column(vectors)
      )
      _write_part(folder, part, table)
  finally:
    bar.close()
  return bar


def _write_part(folder: Path, part: _Part, table: pl.DataFrame) -> None:
  path = folder / part.file
  try:
    with whole_file(path) as temporary:
      table.write_parquet(temporary)
    resumable.finish(folder, part.name, {}, [resumable.output(folder, path)])
  except OSError as error:
    raise UserError(f"{path}: cannot be written: {error}.") from error

"""Features of rows from a run: frozen vectors, and surprise if it is causal."""

from collections.abc import Iterator
import hashlib
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from behavior_lm.artifacts.run_folder import config_hash
from behavior_lm.common import resumable
from behavior_lm.common.errors import UserError
from behavior_lm.common.files import whole_file
from behavior_lm.common.progress import CommandProgress
from behavior_lm.data import time_features
from behavior_lm.data.token_source import TokenSource
from behavior_lm.downstream.task_data import Part
from behavior_lm.downstream.task_data import TaskData
from behavior_lm.evaluation.token_scores import event_and_gap_scores
from behavior_lm.evaluation.token_scores import make_score
from behavior_lm.inference.batching import Batcher
from behavior_lm.inference.batching import Cut
from behavior_lm.inference.batching import window_cuts
from behavior_lm.inference.batching import WindowBatch
from behavior_lm.inference.embedder import Embedder
from behavior_lm.logs import schema
from behavior_lm.recipes.shared.loading import load_run
from behavior_lm.recipes.shared.parts import objective_settings

QUANTILES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
# Mean, deviation, quantiles, the share of near-certain events, and the mean
# of the first and the second half: what is learned about a user as it goes.
NUM_SURPRISE = len(QUANTILES) + 5
_CERTAIN = 0.1  # nats


def features(
    data: TaskData,
    run: str,
    out: Path,
    progress: CommandProgress,
    *,
    pooling: str = "mean",
    max_tokens: int | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
  """Vectors [n, embed_dim] and surprise (see `_surprise`) of all rows.

  What was computed for the same rows and run is read from OUT.

  Args:
    data: the rows.
    run: the run folder.
    out: the folder of the task.
    progress: told how far it is.
    pooling: of the vectors, see `Embedder.encode`.
    max_tokens: read only so many tokens at the end of each history.

  Raises:
    UserError: if the run cannot be loaded or does not fit the log.
  """
  loaded = load_run(run)
  embedder = Embedder(loaded)
  rows = json.dumps([part.table.frame.hash_rows().sum() for part in data.parts])
  request = {
      "run": embedder.fingerprint,
      "config_hash": config_hash(loaded.config),
      "data": [part.dataset.meta["fingerprint"] for part in data.parts],
      "rows": hashlib.sha256(rows.encode()).hexdigest(),
      "pooling": pooling,
      "max_tokens": max_tokens,
  }
  folder = out / "run"
  folder.mkdir(parents=True, exist_ok=True)
  path = folder / "features.npz"
  if resumable.finished(folder, "features", request=request) is None:
    arrays = _compute(data, loaded, embedder, progress, pooling, max_tokens)
    with whole_file(path) as temporary, temporary.open("wb") as file:
      np.savez(file, allow_pickle=False, **arrays)
    resumable.finish(
        folder,
        "features",
        {},
        [resumable.output(folder, path)],
        request=request,
    )
  with np.load(path) as file:
    surprise = file["surprise"] if "surprise" in file else None
    return file["vectors"], surprise


def _compute(
    data: TaskData,
    loaded: Any,
    embedder: Embedder,
    progress: CommandProgress,
    pooling: str,
    max_tokens: int | None,
) -> dict[str, np.ndarray]:
  cut = Cut(last=max_tokens)
  vectors, surprise = [], []
  done, total = 0, len(data.labels)

  def watch(events: int) -> None:
    nonlocal done
    done += 1
    progress.stage("embedding histories", done, total)

  for part in data.parts:
    source = _tokens(part, embedder)
    vectors.append(
        embedder.encode_rows(
            ((source[row],) for row in range(len(part))),
            pooling=pooling,
            num_rows=len(part),
            watch=watch,
            cut=cut,
        )
    )
    if loaded.config.model.causal:
      surprise.append(_surprise(source, loaded, embedder, progress, cut))
  arrays = {"vectors": np.concatenate(vectors)}
  if surprise:
    arrays["surprise"] = np.concatenate(surprise)
  return arrays


def _tokens(part: Part, embedder: Embedder) -> TokenSource:
  """The token sequences of the rows' histories, for a run's model."""
  reading = embedder.reader.reading
  time_features.check_names(reading.features, list(part.dataset.extras))
  if reading.categorical:
    raise UserError(
        "--run: this run reads the categorical columns"
        f" {', '.join(reading.categorical)}; downstream tasks do not read them"
        " yet."
    )
  first = None
  if time_features.ACCOUNT_AGE in reading.features:
    history = part.samples.history
    codes = history.codes(part.table.frame[schema.USER_ID])
    first = history.first_events(codes)
  return TokenSource(
      part.samples,
      embedder.tokenizer,
      embedder.tokenizer.unit_table(part.dataset.pairs),
      reading,
      first_events=first,
  )


def _surprise(
    source: TokenSource,
    loaded: Any,
    embedder: Embedder,
    progress: CommandProgress,
    cut: Cut,
) -> np.ndarray:
  """Statistics of what each row's events cost the model, and their gaps.

  Returns:
    [n, NUM_SURPRISE] of the events' negative log likelihood; twice as many
    columns if the model predicts gaps too, those of the gaps last.
  """
  next_events = objective_settings(loaded.config).get("next_events", {})
  with_gaps = bool(next_events.get("gap_weight", 0))
  batcher = Batcher(
      embedder.max_length,
      embedder.choose_batch_size(None),
      tuple(dict.fromkeys((*loaded.model_fields, "tokens", "time_gaps"))),
      embedder.reader.reading.table,
  )
  scores = event_and_gap_scores if with_gaps else None
  score = jax.jit(make_score(loaded.graphdef, scores))
  nats: list[list[np.ndarray]] = [[] for _ in range(len(source))]
  gap_nats: list[list[np.ndarray]] = [[] for _ in range(len(source))]
  for batch in _batches(source, batcher, cut, progress):
    length = batch.arrays["tokens"].shape[1]
    # The token at place i is predicted at place i - 1, the first from CLS.
    at = np.tile(np.arange(length - 1, dtype=np.int32), (batcher.batch_size, 1))
    targets = {"at": at, "tokens": batch.arrays["tokens"][:, 1:]}
    inputs = {
        name: jnp.asarray(batch.arrays[name]) for name in loaded.model_fields
    }
    if with_gaps:
      targets["gaps"] = np.maximum(batch.arrays["time_gaps"][:, 1:], 0)
    outputs = score(loaded.params, loaded.model_state, inputs, targets)
    found = np.asarray(outputs[0])
    of_gaps = np.asarray(outputs[2]) if with_gaps else None
    # Windows of one row are of one or two lengths, which fill in order.
    for place, (row, size) in enumerate(
        zip(batch.rows, batch.num_tokens, strict=True)
    ):
      nats[row].append(found[place, :size])
      if of_gaps is not None:
        # The first event of a window has no gap that the model could know.
        gap_nats[row].append(of_gaps[place, 1:size])
  tables = [nats, gap_nats] if with_gaps else [nats]
  return np.concatenate(
      [np.stack([_statistics(parts) for parts in table]) for table in tables],
      axis=1,
  )


def _batches(
    source: TokenSource,
    batcher: Batcher,
    cut: Cut,
    progress: CommandProgress,
) -> Iterator[WindowBatch]:
  for row in range(len(source)):
    progress.stage("scoring histories", row, len(source))
    sequence = source[row]
    size = len(sequence["tokens"])
    for start, end in window_cuts(size, batcher.capacity, cut):
      batch = batcher.add(row, sequence, start, end)
      if batch is not None:
        yield batch
  yield from batcher.rest()


def _statistics(parts: list[np.ndarray]) -> np.ndarray:
  """[NUM_SURPRISE] float32; zeros for no event."""
  if not sum(map(len, parts)):
    return np.zeros(NUM_SURPRISE, np.float32)
  nats = np.concatenate(parts)
  half = len(nats) // 2
  return np.array(
      [
          nats.mean(),
          nats.std(),
          *np.quantile(nats, QUANTILES),
          np.mean(nats < _CERTAIN),
          nats[: max(half, 1)].mean(),
          nats[half:].mean(),
      ],
      np.float32,
  )

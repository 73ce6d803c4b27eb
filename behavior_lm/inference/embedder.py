"""Vectors of event sequences, from a run folder alone."""

import collections
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
import dataclasses
import functools
import hashlib
import json
import operator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import polars as pl

from behavior_lm.artifacts.run_folder import config_hash
from behavior_lm.artifacts.vectors import embedding_column
from behavior_lm.common.errors import UserError
from behavior_lm.common.progress import Bar
from behavior_lm.data.reading import Reading
from behavior_lm.data.token_source import Fields
from behavior_lm.inference.batching import Batcher
from behavior_lm.inference.batching import Cut
from behavior_lm.inference.batching import row_windows
from behavior_lm.inference.batching import WindowBatch
from behavior_lm.inference.frames import cut_frame
from behavior_lm.inference.inputs import last_windows
from behavior_lm.inference.pooling import choose_pooling
from behavior_lm.inference.pooling import find_pooling
from behavior_lm.inference.pooling import make_program
from behavior_lm.inference.pooling import Pooling
from behavior_lm.inference.pooling import RowSums
from behavior_lm.inference.sequences import Reader
from behavior_lm.inference.tables import as_frame
from behavior_lm.recipes.shared.loading import load_run
from behavior_lm.recipes.shared.loading import LoadedRun

# Tokens of a batch when nobody chose: enough to fill two cores, and memory
# that dense attention can pay at every length.
BATCH_TOKENS = 8_192
# Batches on the device while the host prepares the next one.
_IN_FLIGHT = 2


class Embedder:
  """A trained encoder that gives one vector a sequence.

    embedder = behavior_lm.Embedder.load("runs/gate")
    vectors = embedder.encode([["login", "fight"], ["login", "shop"]])

  Sequences longer than the model are cut into windows of equal length; each
  window is encoded with a CLS of its own, and the windows are pooled to one
  vector (see `encode`). Models that compute in float32 give the same vector to
  1e-5 whatever the batch it was in.

  Attributes:
    config: of the run.
    tokenizer: of the run.
    params: of the model, on the default device.
    step: of the checkpoint.
    reader: makes token sequences for this model.
  """

  def __init__(self, run: LoadedRun) -> None:
    self.config = run.config
    self.tokenizer = run.tokenizer
    self.params = run.params
    self.step = run.step
    self.num_layers = int(run.config.model.num_layers)
    self.embed_dim = int(run.config.model.embed_dim)
    self.max_length = int(run.config.data.max_length)
    self.reader = Reader(
        run.tokenizer, Reading.of(run.config.data), run.categories
    )
    self._run = run
    self._programs: dict[tuple[int, str], Any] = {}

  @classmethod
  def load(
      cls, folder: str | Path, step: int | None = None, *, best: bool = False
  ) -> "Embedder":
    """Loads a run folder: its config.json, tokenizer/ and a checkpoint.

    Args:
      folder: that experiments/train.py wrote.
      step: of the checkpoint; the last one when None.
      best: take the best checkpoint (`config.keep_best`) instead.

    Raises:
      UserError: if the folder, a part of it or the step is missing or damaged.
    """
    return cls(load_run(folder, step, best=best))

  @functools.cached_property
  def fingerprint(self) -> str:
    """SHA-256 over everything that decides a vector."""
    digest = hashlib.sha256(self.tokenizer.fingerprint.encode())
    model = self.config.model.to_dict()
    digest.update(
        json.dumps(
            [model, self.max_length, dataclasses.astuple(self.reader.reading)],
            sort_keys=True,
        ).encode()
    )
    for path, leaf in jax.tree_util.tree_leaves_with_path(self._run.state):
      digest.update(jax.tree_util.keystr(path).encode())
      digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()

  @property
  def run(self) -> LoadedRun:
    """What the run folder held."""
    return self._run

  @property
  def config_hash(self) -> str:
    return config_hash(self.config)

  def encode(
      self,
      sequences: Iterable[Any] | pl.DataFrame,
      pooling: str = "mean",
      layer: int | None = None,
      batch_size: int | None = None,
      progress: bool = False,
      cut: Cut | None = None,
  ) -> np.ndarray:
    """Encodes sequences of any number and length.

    Memory holds the result, a few batches and one sequence at a time; a
    generator is read as it goes.

    Args:
      sequences: a list or generator; each sequence is a dict of `event_id`,
        `design_id` (optional) and `timestamp` (optional, sorted: datetimes,
        np.datetime64 or integers in microseconds UTC), each a list or array;
        or a dict of `tokens` and `timestamp`; or a list of event ids; or a
        list of (event id, design id) pairs. Without timestamps the gaps are
        hidden. Or a Polars or pandas frame, or a list of dicts, of user_id,
        event_id, design_id (optional) and timestamp: one vector per user, in
        the order of first appearance.
      pooling: over the windows of a sequence: "mean", over all its events
        (without CLS); "max", over all its events; "cls", the windows' CLS
        weighted by their events; "last" and "last8", its last event or the
        mean of so many; "gaussian", attention to events near the middle of
        each window; "history", of a model trained with history tokens, one
        behind each window. With a tokenizer that spans several events, read
        "token" for "event".
      layer: 0 (embeddings) to num_layers; negative counts from the last one,
        which is -1 and None.
      batch_size: windows computed at once; None chooses by the model's length.
        A batch is always computed in full: for one short sequence at a time,
        1 is fastest.
      progress: show a bar.
      cut: how sequences longer than the model are read; side by side when
        None. Windows that overlap count their tokens as often as they hold
        them.

    Returns:
      [num_sequences, embed_dim] float32.

    Raises:
      UserError: naming the sequence that cannot be read: empty, not sorted,
        or of another form.
    """
    total, read = self._read(sequences)
    return self._encode_shown(
        read, total, progress, pooling, layer, batch_size, cut
    )

  def encode_frame(
      self,
      frame: pl.DataFrame,
      unit: str = "user",
      timezone: str = "UTC",
      pooling: str = "mean",
      layer: int | None = None,
      batch_size: int | None = None,
      progress: bool = False,
      cut: Cut | None = None,
  ) -> pl.DataFrame:
    """Encodes a table; see `encode` for the arguments not named here.

    Args:
      frame: user_id, event_id, design_id (optional), timestamp; see `encode`.
      unit: "user", or "user_day" for one vector a calendar day.
      timezone: of the days.

    Returns:
      user_id, start, num_events, embedding (Array of float32); users in the
      order of first appearance, their days in order of time.
    """
    events = as_frame(frame)
    if events is None:
      raise UserError(
          "a frame is a Polars or pandas DataFrame or a list of dicts, not a"
          f" {type(frame).__name__} (collect() a LazyFrame)."
      )
    table, read = cut_frame(events, self.reader, unit=unit, timezone=timezone)
    vectors = self._encode_shown(
        read, table.height, progress, pooling, layer, batch_size, cut
    )
    return table.with_columns(embedding_column(vectors))

  def inputs(
      self, sequences: Iterable[Any] | pl.DataFrame
  ) -> dict[str, np.ndarray]:
    """The last tokens of each sequence, as `apply` reads them.

    Args:
      sequences: see `encode`.

    Returns:
      {field: [num_sequences, length]}.
    """
    return last_windows(
        list(self._read(sequences)[1]),
        self._run.model_fields,
        self.reader.reading.table,
        max_length=self.max_length,
    )

  def apply(
      self,
      params: Any,
      batch: Mapping[str, Any],
      pooling: str = "mean",
      layer: int | None = None,
  ) -> jax.Array:
    """The vectors as a function of the parameters, for other people's losses.

    It may be compiled and differentiated. It has no dropout.

    Args:
      params: `self.params`, or what an optimizer made of them.
      batch: rows of `inputs`.
      pooling, layer: see `encode`.

    Returns:
      [rows, embed_dim] float32.
    """
    chosen, number = self.choose_pooling(pooling), self.layer_number(layer)
    program = self._make_program(number, chosen)
    vectors: jax.Array = program(self._run.state | {"params": params}, batch)
    return vectors

  def encode_rows(
      self,
      rows: Iterable[Iterable[Fields]],
      *,
      pooling: str = "mean",
      layer: int | None = None,
      batch_size: int | None = None,
      num_rows: int = 0,
      watch: Callable[[int], None] | None = None,
      cut: Cut | None = None,
  ) -> np.ndarray:
    """One vector for each row, pooled over all sequences of the row.

    Args:
      rows: each at least one sequence, in order of time; from `reader`.
      pooling, layer, batch_size, cut: see `encode`.
      num_rows: how many are expected, if known.
      watch: told the number of events of each row that was read.

    Returns:
      [number of rows, embed_dim] float32.
    """
    chosen = self.choose_pooling(pooling)
    program = self._program(self.layer_number(layer), pooling)
    batcher = Batcher(
        self.max_length,
        self.choose_batch_size(batch_size),
        self._run.model_fields,
        self.reader.reading.table,
    )
    cut = cut or Cut()
    cut.check(batcher.capacity)
    sums = RowSums(chosen, self.embed_dim, num_rows)
    running: collections.deque[tuple[jax.Array, WindowBatch]]
    running = collections.deque()

    def collect(keep: int) -> None:
      while len(running) > keep:
        vectors, batch = running.popleft()
        windows = zip(
            batch.rows, np.asarray(vectors), batch.num_tokens, strict=False
        )
        for row, vector, num_tokens in windows:
          sums.add(row, vector, num_tokens)

    def compute(batch: WindowBatch) -> None:
      running.append((program(self._run.state, batch.arrays), batch))
      collect(_IN_FLIGHT)

    for row, sequences in enumerate(rows):
      num_events = 0
      for sequence, start, end in row_windows(
          sequences, batcher.capacity, cut, last_only=chosen.last_only
      ):
        num_events += int(sequence["num_events"][start:end].sum())
        sums.expect(row)
        batch = batcher.add(row, sequence, start, end)
        if batch is not None:
          compute(batch)
      sums.complete(row)
      if watch is not None:
        watch(num_events)
    for batch in batcher.rest():
      compute(batch)
    collect(0)
    return sums.vectors()

  def _read(
      self, sequences: Iterable[Any] | pl.DataFrame
  ) -> tuple[int | None, Iterator[Fields]]:
    """How many sequences there are, if known, and the sequences."""
    if (frame := as_frame(sequences)) is not None:
      table, read = cut_frame(frame, self.reader)
      return table.height, read
    if isinstance(sequences, str | bytes | dict) or not isinstance(
        sequences, Iterable
    ):
      raise UserError(
          f"sequences is a {type(sequences).__name__}; give a list of"
          " sequences (for one: a list that holds it), a generator or a"
          " Polars DataFrame."
      )
    total = len(sequences) if isinstance(sequences, Sized) else None
    return total, self.reader.read_all(sequences)

  def choose_pooling(self, name: str) -> Pooling:
    """The pooling of a name.

    Raises:
      UserError: if there is none, or it would tell nothing of this model.
    """
    return choose_pooling(name, self.config)

  def _encode_shown(
      self,
      sequences: Iterator[Fields],
      total: int | None,
      progress: bool,
      pooling: str,
      layer: int | None,
      batch_size: int | None,
      cut: Cut | None,
  ) -> np.ndarray:
    bar = Bar(total, shown=progress)
    try:
      return self.encode_rows(
          ((sequence,) for sequence in sequences),
          pooling=pooling,
          layer=layer,
          batch_size=batch_size,
          num_rows=total or 0,
          watch=bar.add,
          cut=cut,
      )
    finally:
      bar.close()

  def _program(self, layer: int, pooling: str) -> Any:
    key = (layer, pooling)
    if key not in self._programs:
      self._programs[key] = jax.jit(
          self._make_program(layer, find_pooling(pooling))
      )
    return self._programs[key]

  def _make_program(self, layer: int, pooling: Pooling) -> Any:
    return make_program(
        self._run.graphdef, layer, pooling, table=self.reader.reading.table
    )

  def layer_number(self, layer: int | None) -> int:
    """0 .. num_layers; negative counts from the end, None is the last."""
    if layer is None:
      return self.num_layers
    try:
      number = operator.index(layer)
    except TypeError:
      number = self.num_layers + 1
    if not -self.num_layers - 1 <= number <= self.num_layers:
      raise UserError(
          f"layer {layer!r}: the model has {self.num_layers}, so choose 0"
          f" (embeddings) to {self.num_layers}, or -1 (the last) to"
          f" {-self.num_layers - 1}."
      )
    return number if number >= 0 else self.num_layers + 1 + number

  def choose_batch_size(self, batch_size: int | None) -> int:
    """The given one, checked; for None, by the model's length."""
    if batch_size is None:
      return max(1, BATCH_TOKENS // self.max_length)
    if batch_size < 1:
      raise UserError(f"batch_size is {batch_size}; it must be at least 1.")
    return batch_size

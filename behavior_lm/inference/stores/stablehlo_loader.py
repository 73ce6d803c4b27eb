"""Runs an exported encoder; needs jax and NumPy, nothing else.

This file lies beside the programs as `load_encoder.py`:

  from load_encoder import Encoder
  encoder = Encoder.load(FOLDER)
  tokens = encoder.tokens(["login", "fight"], ["0", "3"])
  gaps = encoder.time_gaps([1577836800000000, 1577836803000000])
  vectors = encoder.encode([{"tokens": tokens, "time_gaps": gaps}])
"""

from collections.abc import Iterable, Mapping, Sequence
import dataclasses
import functools
import json
import pathlib
from typing import Any

import jax
import numpy as np

from behavior_lm.inference.stores.stablehlo_program import read_export
from behavior_lm.inference.stores.stablehlo_program import read_program

_GAP_UNIT_US = 100_000
_CLS_TOKENS = 1
# The numbers of the special tokens, and of them that of unknown events.
_NUM_SPECIAL = 5
_UNKNOWN = 2
# A row, its number of tokens, and its fields.
_Window = tuple[int, int, dict[str, np.ndarray]]


class Encoder:
  """Vectors of token sequences, as the run's own embedder makes them.

  Attributes:
    manifest: what the export says of itself.
  """

  def __init__(
      self,
      folder: pathlib.Path,
      manifest: dict[str, Any],
      weights: list[jax.Array],
  ) -> None:
    self.manifest = manifest
    self._folder = folder
    self._weights = weights

  @classmethod
  def load(cls, folder: str | pathlib.Path) -> "Encoder":
    """Reads the folder; ValueError if a file is missing or changed."""
    folder = pathlib.Path(folder)
    manifest, weights = read_export(folder, "stablehlo")
    return cls(folder, manifest, weights)

  def encode(
      self, sequences: Iterable[Mapping[str, Any]], batch_size: int = 32
  ) -> np.ndarray:
    """One vector for each sequence.

    Args:
      sequences: each a dict of arrays [num_tokens] for the fields that the
        manifest lists; `positions` and `segment_ids` are made here.
      batch_size: windows computed at once.

    Returns:
      [num_sequences, embed_dim] float32.
    """
    pooling = self.manifest["pooling"]
    lengths = sorted(map(int, self.manifest["programs"]))
    waiting: dict[int, list[_Window]] = {length: [] for length in lengths}
    rows: list[_Row] = []
    for row, sequence in enumerate(sequences):
      rows.append(_Row())
      cuts = self._cuts(sequence, row)
      for start, end in cuts[-1:] if pooling["last_only"] else cuts:
        window = self._window(sequence, start, end)
        length = next(n for n in lengths if n >= end - start + _CLS_TOKENS)
        waiting[length].append((row, end - start, window))
        if len(waiting[length]) == batch_size:
          self._compute(length, waiting[length], rows)
          waiting[length] = []
    for length, windows in waiting.items():
      if windows:
        self._compute(length, windows, rows)
    out = np.zeros((len(rows), self.manifest["embed_dim"]), np.float32)
    for place, of in enumerate(rows):
      out[place] = of.total / (of.tokens if pooling["by_events"] else 1)
    return out

  def time_gaps(self, timestamps: Sequence[int] | np.ndarray) -> np.ndarray:
    """[n] microseconds -> [n] gaps in 100 ms, of the kind the model reads.

    -1 is the gap at the open end, which nobody knows.
    """
    times = np.asarray(timestamps, np.int64)
    between = np.diff(times // _GAP_UNIT_US)
    if (np.diff(times) < 0).any():
      raise ValueError("timestamps go backwards")
    gaps = np.full(len(times), -1, np.int64)
    here = slice(-1) if self.manifest["gap_kind"] == "next" else slice(1, None)
    gaps[here] = between
    return np.minimum(gaps, np.iinfo(np.int32).max).astype(np.int32)

  def tokens(
      self, events: Sequence[str], designs: Sequence[str]
  ) -> np.ndarray:
    """[n] event ids and [n] design ids -> [n] token ids."""
    if self.manifest["tokenizer"] != "pair" or (
        not self.manifest["one_token_an_event"]
    ):
      raise ValueError(
          "this model's tokens span several events; make them with"
          " behavior_lm.data.tokenizers.load_tokenizer(FOLDER/tokenizer)"
      )
    alone, pairs = self._units
    return np.asarray(
        [
            pairs.get((event, design), alone.get(event, _UNKNOWN))
            for event, design in zip(events, designs, strict=True)
        ],
        np.int32,
    )

  @functools.cached_property
  def _units(self) -> tuple[dict[str, int], dict[tuple[str, str], int]]:
    path = self._folder / "tokenizer" / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    events, pairs = content["events"], content["pairs"]
    first = _NUM_SPECIAL + len(events)
    return (
        {event: _NUM_SPECIAL + n for n, event in enumerate(events)},
        {tuple(pair): first + n for n, pair in enumerate(pairs)},
    )

  def _cuts(
      self, sequence: Mapping[str, Any], row: int
  ) -> list[tuple[int, int]]:
    """Windows of equal length, give or take one token."""
    names = self.manifest["fields"].keys() - {"positions", "segment_ids"}
    for name in sorted(names):
      if name not in sequence:
        raise ValueError(f"sequence {row}: has no field {name!r}")
      if len(sequence[name]) != len(sequence["tokens"]):
        raise ValueError(f"sequence {row}: {name!r} has another length")
    size = len(sequence["tokens"])
    if not size:
      raise ValueError(f"sequence {row}: has no tokens")
    count = -(-size // (self.manifest["max_length"] - _CLS_TOKENS))
    ends = [i * size // count for i in range(count + 1)]
    return list(zip(ends[:-1], ends[1:], strict=True))

  def _window(
      self, sequence: Mapping[str, Any], start: int, end: int
  ) -> dict[str, np.ndarray]:
    window = {}
    for name, field in self.manifest["fields"].items():
      if name in ("positions", "segment_ids"):
        continue
      cut = np.asarray(sequence[name])[start:end]
      if name in ("times", "sessions"):
        cut = cut - cut[0]
      values = np.empty(len(cut) + _CLS_TOKENS, field["dtype"])
      values[0] = float(field["cls"])
      values[_CLS_TOKENS:] = cut
      window[name] = values
    window["positions"] = np.arange(end - start + _CLS_TOKENS)
    window["segment_ids"] = np.ones(end - start + _CLS_TOKENS)
    return window

  def _compute(
      self, length: int, windows: "list[_Window]", rows: "list[_Row]"
  ) -> None:
    pooling = self.manifest["pooling"]
    # Few numbers of rows, since each is compiled anew.
    size = 1 << (len(windows) - 1).bit_length()
    batch = {
        name: np.full((size, length), float(field["pad"]), field["dtype"])
        for name, field in self.manifest["fields"].items()
    }
    for place, (_, _, window) in enumerate(windows):
      for name, values in batch.items():
        values[place, : len(window[name])] = window[name]
    vectors = np.asarray(self._programs(length)(self._weights, batch))
    for (row, tokens, _), vector in zip(windows, vectors, strict=False):
      vector = vector.astype(np.float64)
      if pooling["by_events"]:
        vector = vector * tokens
      rows[row].add(vector, tokens, pooling["combine"])

  @functools.cache  # noqa: B019
  def _programs(self, length: int) -> Any:
    """The program of a length as a jax function."""
    about = self.manifest["programs"][str(length)]
    fields = {
        name: ((None, length), field["dtype"])
        for name, field in self.manifest["fields"].items()
    }
    return read_program(
        self._folder,
        self.manifest,
        about,
        self._weights,
        fields,
        (None, self.manifest["embed_dim"]),
    )


@dataclasses.dataclass
class _Row:
  """What is known of the vector of a sequence."""

  total: Any = None
  tokens: int = 0

  def add(self, vector: np.ndarray, tokens: int, combine: str) -> None:
    if self.total is not None:
      vector = getattr(np, combine)(self.total, vector)
    self.total = vector
    self.tokens += tokens

"""Labelled rows of a table -> packed rows with labels per segment.

Each sample becomes one window: the last tokens of its history. Samples without
a history have no window and are in no row.
"""

from collections.abc import Mapping, Sequence
import dataclasses

import numpy as np

from behavior_lm.data.packed_rows import RowSource
from behavior_lm.data.reading import Reading
from behavior_lm.data.samples import History
from behavior_lm.data.samples import SampleColumns
from behavior_lm.data.samples import Samples
from behavior_lm.data.samples import SampleTable
from behavior_lm.data.samples import vocabulary
from behavior_lm.data.samples.sample_columns import LABEL
from behavior_lm.data.samples.sample_columns import WEIGHT
from behavior_lm.data.token_source import TokenSource
from behavior_lm.data.tokenizers import Tokenizer
from behavior_lm.data.windows import WindowSource
from behavior_lm.logs import schema


def label_array(
    table: SampleTable,
    rows: np.ndarray,
    vocabularies: Mapping[str, Sequence[str]],
) -> np.ndarray:
  """The labels of some rows, side by side in the order of their declaration.

  Args:
    table: labelled rows.
    rows: [n] positions in the table.
    vocabularies: classes, see `samples.vocabulary`.

  Returns:
    [n, columns] float32: one column per label, or per class of a multi_label
    one. A class below 0 and NaN are missing.
  """
  found = vocabulary.encode(table.frame[rows], table.columns, vocabularies)
  columns = [
      found[LABEL + name].reshape(len(rows), -1)
      for name in table.columns.labels
  ]
  return np.concatenate(columns, 1).astype(np.float32)


def labelled_rows(
    table: SampleTable,
    history: History,
    rows: np.ndarray,
    labels: np.ndarray,
    tokenizer: Tokenizer,
    reading: Reading,
    *,
    max_length: int,
    max_segments: int,
    excluded_events: Sequence[str] = (),
    seed: int = 0,
    train: bool = True,
) -> RowSource:
  """Packed rows of tokens, with what is known of each segment.

  Args:
    table: labelled rows.
    history: of the dataset.
    rows: [n] positions in the table.
    labels: [n, columns] float32.
    tokenizer, reading: of the model.
    max_length, max_segments: of a row.
    excluded_events: event ids that are removed from histories.
    seed: of the order of rows.
    train: shuffle, without end; otherwise the rows once, in order.

  Returns:
    Rows with `labels` [max_segments, columns], `weights` [max_segments] and
    `sample` [max_segments], the place in `rows`, beside the fields of tokens.
  """
  longest = max_length - 1
  frame = table.frame[rows]
  # Labels are given; classes of the samples themselves are not read.
  samples = Samples(
      dataclasses.replace(table, columns=SampleColumns(labels={})),
      history,
      rows=rows,
      max_events=longest if tokenizer.one_token_an_event else None,
      excluded_events=excluded_events,
  )
  tokens = TokenSource(
      samples,
      tokenizer,
      tokenizer.unit_table(history.pairs),
      reading,
      first_events=history.first_events(
          history.codes(frame[schema.USER_ID])
      ),
  )
  windows = WindowSource(
      tokens,
      np.array([len(tokens[place]["tokens"]) for place in range(len(rows))]),
      max_length=max_length,
      seed=seed,
      history="last",
  )
  return RowSource(
      windows,
      max_length,
      max_segments,
      shuffle=train,
      repeat=train,
      of_sequences={
          "labels": labels,
          "weights": frame[WEIGHT].to_numpy().astype(np.float32),
          "sample": np.arange(len(rows), dtype=np.int32),
      },
  )

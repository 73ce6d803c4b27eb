"""The one table of what a batch may hold.

Padding, CLS, what is hidden under a mask, the shapes of a batch, and what an
embedder has to feed are all read from here. A batch is a dict of arrays; the
axis of a field says how they are laid out:

  token    [batch, max_length]
  segment  [batch, max_segments, ...]: one entry per packed sequence
  row      [batch, ...]: one entry per row

A field of a second sequence bears a prefix: "short/tokens" is laid out like
"tokens".
"""

from collections.abc import Iterable, Mapping
import dataclasses
import math
from typing import Any, Literal

import numpy as np

from behavior_lm.common.errors import UserError
from behavior_lm.data.time_gaps import HIDDEN_GAP
from behavior_lm.logs import schema

Axis = Literal["token", "segment", "row"]
Batch = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Field:
  """What one name in a batch means.

  Attributes:
    dtype: of the array, a NumPy name.
    axis: how the array is laid out, see the head of this file.
    pad: value where there is no token, segment or row.
    cls: value at the CLS token in front of each sequence; None is `pad`.
    hidden: value at a masked token; None leaves the field visible there.
    categories: ids run from 0 to categories - 1, and -1 is "none"; 0 marks a
      number, for which NaN (or -1 in whole numbers) is "none".
    width: numbers per entry, in a last axis of their own; 0 is one number
      without such an axis.
  """

  dtype: str
  axis: Axis = "token"
  pad: float = 0
  cls: float | None = None
  hidden: float | None = None
  categories: int = 0
  width: int = 0

  @property
  def at_cls(self) -> float:
    return self.pad if self.cls is None else self.cls


def _whole(categories: int = 0) -> Field:
  return Field("int32", pad=-1, hidden=-1, categories=categories)


def _number() -> Field:
  return Field("float32", pad=math.nan, hidden=math.nan)


FIELDS: dict[str, Field] = {
    # The sequence.
    "tokens": Field(
        "int32", pad=schema.PAD_ID, cls=schema.CLS_ID, hidden=schema.MASK_ID
    ),
    "time_gaps": Field("int32", pad=HIDDEN_GAP, hidden=HIDDEN_GAP),
    # Seconds since the first event of the segment.
    "times": Field("float32"),
    "num_events": Field("int32", hidden=-1),
    "sessions": Field("int32"),
    # How sequences lie in the row; 0 marks padding in segment_ids.
    "segment_ids": Field("int32"),
    "positions": Field("int32"),
    # Features of time, see `data.time_features`.
    "gap_previous": _whole(),
    "gap_next": _whole(),
    "hour": _whole(24),
    "weekday": _whole(7),
    "weekend": _whole(2),
    "account_age": _number(),
    # Since the first event of the segment and until its last one, see
    # `data.items.interest_rows`.
    "from_start": _number(),
    "to_end": _number(),
    # What evaluators add: hidden tokens, the sequence's index in its split,
    # the place in the sequence, bits that the token leaves out.
    "masked": Field("int32"),
    "sequence": Field("int32"),
    "token_index": Field("int32"),
    "hidden_bits": Field("float32"),
    # Labelled rows, see `data.samples`.
    "labels": Field("float32", axis="segment", pad=math.nan),
    "weights": Field("float32", axis="segment"),
    # Which sample a segment is, by its place in its split.
    "sample": Field("int32", axis="segment", pad=-1),
    # Whose window a segment is: a number per user of the split.
    "segment_user": Field("int32", axis="segment", pad=-1),
    # Rows of plain columns, see `data.prompts.features`; -1 is a domain that
    # was not trained on.
    "domain": Field("int32", axis="row"),
    # Whose row it is, and what is known of its short sequence.
    "row_user": Field("int32", axis="row", pad=-1),
    "short_popularity": Field("float32", axis="row"),
    "short_category": Field("int32", axis="row", pad=-1),
    "ids": Field("int32", axis="row"),
    "dense": Field("float32", axis="row"),
    # A prompt's vector, by a language model.
    "vector": Field("float32", axis="row"),
}
# Token fields that a model may read as a feature of a token.
FEATURES = (
    *("times", "num_events", "sessions", "gap_previous", "gap_next"),
    *("hour", "weekday", "weekend", "account_age", "from_start", "to_end"),
)


def numeric_field() -> Field:
  """An extra column of numbers; NaN is "none"."""
  return _number()


def categorical_field(categories: int) -> Field:
  """An extra column of category ids; 0 is "unknown", -1 is "none"."""
  return _whole(categories)


def labels_field(width: int) -> Field:
  """Labels of so many numbers per segment, see `objectives.labels`."""
  return dataclasses.replace(FIELDS["labels"], width=width)


def find_field(name: str, table: Mapping[str, Field] = FIELDS) -> Field:
  """The field of a name; a prefix like "short/" is passed over.

  Raises:
    UserError: if the table has no such field.
  """
  found = table.get(name) or table.get(name.rpartition("/")[2])
  if found is None:
    raise UserError(
        f"field {name!r} is unknown; known are {', '.join(sorted(table))}."
    )
  return found


def batch_shapes(
    names: Iterable[str],
    table: Mapping[str, Field],
    *,
    batch_size: int,
    max_length: int,
    max_segments: int,
) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
  """{name: (shape, dtype)} of a batch that holds these fields."""
  axes = {
      "token": (batch_size, max_length),
      "segment": (batch_size, max_segments),
      "row": (batch_size,),
  }
  fields = {name: find_field(name, table) for name in names}
  return {
      name: (
          axes[field.axis] + ((field.width,) if field.width else ()),
          np.dtype(field.dtype),
      )
      for name, field in fields.items()
  }


def padding(
    name: str, shape: tuple[int, ...], table: Mapping[str, Field]
) -> np.ndarray:
  """An array that holds nothing but the padding of a field."""
  field = find_field(name, table)
  return np.full(shape, field.pad, field.dtype)


def hidden_values(
    names: Iterable[str], table: Mapping[str, Field]
) -> dict[str, float]:
  """{name: value at a masked token}, without the fields that stay visible."""
  found = {name: find_field(name, table).hidden for name in names}
  return {name: value for name, value in found.items() if value is not None}


def hide(
    batch: Mapping[str, Any],
    masked: np.ndarray,
    names: Iterable[str],
    table: Mapping[str, Field],
) -> Batch:
  """The named fields of a batch, each hidden where `masked` is true."""
  out = {name: batch[name] for name in names}
  for name, value in hidden_values(out, table).items():
    out[name] = np.where(masked, value, out[name]).astype(out[name].dtype)
  return out

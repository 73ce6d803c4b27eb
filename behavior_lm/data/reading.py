"""What a model reads beside its tokens."""

import dataclasses
from typing import Any

from behavior_lm.data import fields
from behavior_lm.data import time_features
from behavior_lm.data.time_gaps import GapKind
from behavior_lm.logs.schema import CATEGORICAL
from behavior_lm.logs.schema import Extra
from behavior_lm.logs.schema import NUMERIC

# Fields of a token that every sequence has, whatever the model reads.
SEQUENCE = ("tokens", "time_gaps", "times", "num_events", "sessions")


@dataclasses.dataclass(frozen=True)
class Reading:
  """How events become the fields of a model.

  Attributes:
    gap_kind: "next" or "previous", see `time_gaps`.
    features: further fields of a token: names of `fields.FEATURES`, or of
      extra columns of the log.
    zone: time zone of hour and weekday, an IANA name.
    columns: (name, description) of the extra columns among the features; one
      that is not described is a number that is not normalised.
  """

  gap_kind: GapKind = "next"
  features: tuple[str, ...] = ()
  zone: str = "UTC"
  columns: tuple[tuple[str, Extra], ...] = ()

  @classmethod
  def of(cls, data: Any) -> "Reading":
    """From the `data` section of a config."""
    names = (name.strip() for name in data.features.split(","))
    return cls(
        gap_kind=data.gap_kind,
        features=tuple(name for name in names if name),
        zone=data.feature_zone or "UTC",
        columns=tuple(
            (name, Extra(**about)) for name, about in data.extras.items()
        ),
    )

  def extra(self, name: str) -> Extra:
    """What is known of an extra column."""
    return dict(self.columns).get(name) or Extra(NUMERIC)

  @property
  def categorical(self) -> tuple[str, ...]:
    """The extra columns that hold categories."""
    return tuple(
        name for name in self.extras if self.extra(name).kind == CATEGORICAL
    )

  @property
  def extras(self) -> tuple[str, ...]:
    """Columns of the log among the features."""
    return tuple(n for n in self.features if n not in fields.FEATURES)

  @property
  def computed(self) -> tuple[str, ...]:
    """Features that are neither in every sequence nor columns of the log."""
    return tuple(
        name
        for name in self.features
        if name in time_features.NAMES and name not in SEQUENCE
    )

  @property
  def table(self) -> dict[str, fields.Field]:
    """The fields of `data.fields`, and those of the extra columns."""
    return fields.FIELDS | {
        name: fields.categorical_field(self.extra(name).categories)
        if name in self.categorical
        else fields.numeric_field()
        for name in self.extras
    }

  @property
  def categories(self) -> tuple[tuple[str, int], ...]:
    """(name, categories) of each feature; 0 categories is a number."""
    table = self.table
    return tuple((name, table[name].categories) for name in self.features)

"""Which features the rows of a table give, and how each becomes numbers."""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any

from behavior_lm.common.errors import UserError

TRANSFORMS = ("none", "standard", "log", "quantile")


@dataclasses.dataclass(frozen=True)
class Dense:
  """A column of numbers.

  Attributes:
    name: of the column.
    transform: "none"; "standard" subtracts the mean and divides by the
      standard deviation; "log" does so with sign(x) log(1 + |x|); "quantile"
      gives the share of training rows below the value, from -1 to 1.
  """

  name: str
  transform: str = "standard"

  def __post_init__(self) -> None:
    if self.transform not in TRANSFORMS:
      raise UserError(
          f"dense feature {self.name!r} has the transform {self.transform!r};"
          f" choose one of {', '.join(TRANSFORMS)}."
      )


@dataclasses.dataclass(frozen=True)
class Categorical:
  """A column of categories, or of sets of them.

  Attributes:
    name: of the column.
    table: whose ids the values get; columns of one table share ids and
      vectors. Empty is a table of the column's own name.
    buckets: values are hashed into so many ids, and no vocabulary is kept; 0
      keeps a vocabulary.
    min_count: values that occur less often in training are unknown.
    max_values: at most so many of the most frequent values; 0 is all.
    separator: between the values of a cell that holds several; empty where a
      cell holds one.
    max_length: values of such a cell at most; the first ones are kept.
  """

  name: str
  table: str = ""
  buckets: int = 0
  min_count: int = 1
  max_values: int = 0
  separator: str = ""
  max_length: int = 8

  def __post_init__(self) -> None:
    for setting in ("buckets", "max_values"):
      if getattr(self, setting) < 0:
        raise UserError(f"feature {self.name!r}: {setting} is below 0.")
    if self.min_count < 1 or self.max_length < 1:
      raise UserError(
          f"feature {self.name!r}: min_count and max_length are at least 1."
      )

  @property
  def of_table(self) -> str:
    return self.table or self.name

  @property
  def caps(self) -> tuple[int, int, int]:
    """What columns of one table must agree about."""
    return self.buckets, self.min_count, self.max_values


@dataclasses.dataclass(frozen=True)
class FeatureSchema:
  """The features of a row.

  Attributes:
    dense: columns of numbers.
    categorical: columns of one category per cell.
    sequences: columns of several categories per cell, with a separator.
    texts: columns that stay texts, for prompts.

  Raises:
    UserError: if two columns have one name, or columns of one table differ in
      how its ids are made.
  """

  dense: tuple[Dense, ...] = ()
  categorical: tuple[Categorical, ...] = ()
  sequences: tuple[Categorical, ...] = ()
  texts: tuple[str, ...] = ()

  def __post_init__(self) -> None:
    names = [*self.names("dense"), *self.columns, *self.texts]
    for name in names:
      if names.count(name) > 1:
        raise UserError(f"feature {name!r} is declared more than once.")
    caps: dict[str, tuple[int, int, int]] = {}
    for one in (*self.categorical, *self.sequences):
      if caps.setdefault(one.of_table, one.caps) != one.caps:
        raise UserError(
            f"feature {one.name!r}: buckets, min_count and max_values differ"
            f" from those of another column of the table {one.of_table!r}."
        )

  @classmethod
  def of(
      cls,
      *,
      dense: Mapping[str, str] | None = None,
      categorical: Mapping[str, Mapping[str, Any]] | None = None,
      sequences: Mapping[str, Mapping[str, Any]] | None = None,
      texts: Sequence[str] = (),
  ) -> "FeatureSchema":
    """From the primitives of a config.

    Args:
      dense: {column: transform}.
      categorical: {column: settings of `Categorical`}.
      sequences: the same; a separator is needed, and is "|" if not given.
      texts: columns.

    Raises:
      UserError: if a setting is unknown or wrong.
    """
    make = lambda name, values: _categorical(name, dict(values))
    return cls(
        dense=tuple(Dense(*item) for item in (dense or {}).items()),
        categorical=tuple(
            make(*item) for item in (categorical or {}).items()
        ),
        sequences=tuple(
            make(name, {"separator": "|", **values})
            for name, values in (sequences or {}).items()
        ),
        texts=tuple(texts),
    )

  def to_json(self) -> dict[str, Any]:
    """What `of` takes."""
    settings = lambda one: {
        k: v for k, v in dataclasses.asdict(one).items() if k != "name"
    }
    return {
        "dense": {one.name: one.transform for one in self.dense},
        "categorical": {one.name: settings(one) for one in self.categorical},
        "sequences": {one.name: settings(one) for one in self.sequences},
        "texts": list(self.texts),
    }

  def names(self, kind: str) -> list[str]:
    """The columns of "dense", "categorical" or "sequences"."""
    return [one.name for one in getattr(self, kind)]

  @property
  def columns(self) -> list[str]:
    """All columns of categories."""
    return [*self.names("categorical"), *self.names("sequences")]


def _categorical(name: str, values: dict[str, Any]) -> Categorical:
  try:
    return Categorical(name, **values)
  except TypeError as error:
    raise UserError(f"feature {name!r}: {error}") from error


def criteo_schema(
    *, transform: str = "log", buckets: int = 0, min_count: int = 10
) -> FeatureSchema:
  """The 13 numbers and 26 categories of Criteo's display advertising log.

  Args:
    transform: of the numbers; log(1 + x) is the habit.
    buckets: of each categorical column, if it is hashed.
    min_count: values that are rarer are unknown.
  """
  settings = dict(buckets=buckets, min_count=min_count)
  return FeatureSchema.of(
      dense={f"I{place}": transform for place in range(1, 14)},
      categorical={f"C{place}": settings for place in range(1, 27)},
  )

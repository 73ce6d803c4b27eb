"""Which columns of a label table hold what."""

from collections.abc import Mapping, Sequence
import dataclasses

import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.logs import schema

BINARY = "binary"
MULTI_CLASS = "multi_class"
MULTI_LABEL = "multi_label"
REGRESSION = "regression"
KINDS = (BINARY, MULTI_CLASS, MULTI_LABEL, REGRESSION)
# Kinds whose values become codes of a vocabulary from the training rows.
WITH_CLASSES = (MULTI_CLASS, MULTI_LABEL)
# Names inside of a sample table and of a sample; the slash keeps them apart
# from the extra columns of a log.
ROW, TIME, WEIGHT = "sample/row", "sample/time", "sample/weight"
LABEL, CANDIDATE = "label/", "candidate/"
DENSE, CATEGORICAL, TEXT = "dense/", "categorical/", "text/"
# Between the classes of a set that is compared as one text.
_UNIT_SEPARATOR = "\x1f"


@dataclasses.dataclass(frozen=True)
class SampleColumns:
  """The columns of a label table, by the names that the table has for them.

  All values are primitives, so that `SampleColumns(**config.samples)` works
  for a dict of an ml_collections config.

  Attributes:
    labels: {column: kind}, a kind being one of KINDS:
      binary: 0 or 1, false or true.
      multi_class: one class, a text or a number.
      multi_label: a set of classes, as a list or as a text of classes between
        separators. An empty cell is a missing label; a cell that holds one
        separator alone, or an empty list, is the empty set.
      regression: a number.
    user: the user id; "" where the table has none: each row is a user of its
      own, named by its number.
    time: the time of the row; "" where the table has none. Each row then sees
      the whole history of its user.
    candidates: ids of what is to be scored in a row, one per column. A request
      with several candidates is several rows of one user and time.
    dense: features of a row that are numbers.
    categorical: features of a row that are categories.
    texts: columns that are kept as they are written, for prompts.
    weight: the weight of a row in a loss; "" for 1.
    timezone: IANA name of the zone of times that are written without one.
    time_unit: of epoch numbers: auto, s, ms, us or ns.
    separator: between the classes of a multi_label text.
  """

  labels: Mapping[str, str]
  user: str = schema.USER_ID
  time: str = ""
  candidates: Sequence[str] = ()
  dense: Sequence[str] = ()
  categorical: Sequence[str] = ()
  texts: Sequence[str] = ()
  weight: str = ""
  timezone: str = ""
  time_unit: str = "auto"
  separator: str = "|"

  def __post_init__(self) -> None:
    for column, kind in self.labels.items():
      if kind not in KINDS:
        raise UserError(
            f"label {column!r} has the kind {kind!r}; choose one of"
            f" {', '.join(KINDS)}."
        )
    for name in ("candidates", "dense", "categorical", "texts"):
      if isinstance(getattr(self, name), str):
        raise UserError(
            f"{name} is the text {getattr(self, name)!r}; write a list of"
            " column names."
        )
    if not self.separator:
      raise UserError("separator is empty; choose a character such as '|'.")
    names = self.names()
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
      raise UserError(
          f"column {twice[0]!r} is declared more than once. A label, or the"
          " user, may not be a feature as well: remove one of the two."
      )

  def names(self) -> list[str]:
    """All declared columns."""
    single = [name for name in (self.user, self.time, self.weight) if name]
    several = (
        *(self.labels, self.candidates, self.dense),
        *(self.categorical, self.texts),
    )
    return [*single, *(name for part in several for name in part)]

  def labels_of(self, *kinds: str) -> list[str]:
    """The label columns of some kinds."""
    return [name for name, kind in self.labels.items() if kind in kinds]

  def key(self) -> list[str]:
    """The table's columns that say what a row is about."""
    return [
        *(schema.USER_ID, TIME),
        *(CANDIDATE + name for name in self.candidates),
    ]

  def features(self) -> list[str]:
    """The table's columns beside the key and the labels."""
    return [
        *(DENSE + name for name in self.dense),
        *(CATEGORICAL + name for name in self.categorical),
        *(TEXT + name for name in self.texts),
        WEIGHT,
    ]

  def comparable(self, name: str) -> pl.Expr:
    """A label as something that can be compared and sorted."""
    if self.labels[name] == MULTI_LABEL:
      return pl.col(LABEL + name).list.join(_UNIT_SEPARATOR)
    return pl.col(LABEL + name)

  def order(self) -> list[pl.Expr]:
    """Sorts the table by its content, whatever the order of the source."""
    return [
        *(pl.col(name) for name in self.key()),
        *(self.comparable(name) for name in self.labels),
        *(pl.col(name) for name in self.features()),
    ]

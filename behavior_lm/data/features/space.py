"""Rows of a table -> arrays, by what was learned from the training rows."""

from collections.abc import Collection, Mapping
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from behavior_lm.artifacts import json_files
from behavior_lm.common import markdown
from behavior_lm.common.errors import UserError
from behavior_lm.common.files import write_whole
from behavior_lm.data.features.dense import dense_array
from behavior_lm.data.features.dense import dense_width
from behavior_lm.data.features.dense import Normaliser
from behavior_lm.data.features.schema import FeatureSchema
from behavior_lm.data.features.tables import bag_ids
from behavior_lm.data.features.tables import frequent_values
from behavior_lm.data.features.tables import split_values
from behavior_lm.data.features.tables import ValueTable
from behavior_lm.data.samples.sample_columns import CATEGORICAL
from behavior_lm.data.samples.sample_columns import DENSE

FILE = "features.json"
# Names of arrays, beside one "bag/NAME" per column of several values.
IDS_ARRAY, DENSE_ARRAY, BAG = "ids", "dense", "bag/"


@dataclasses.dataclass(frozen=True)
class FeatureSpace:
  """What the features of a table are as numbers.

  Attributes:
    schema: the declaration.
    normalisers: of the dense columns, in their order.
    tables: {name: ids of its values}; all ids are rows of one array.
  """

  schema: FeatureSchema
  normalisers: tuple[Normaliser, ...]
  tables: Mapping[str, ValueTable]

  @classmethod
  def fit(
      cls,
      frame: pl.DataFrame,
      schema: FeatureSchema,
      further: Mapping[str, pl.Series] | None = None,
  ) -> "FeatureSpace":
    """Learns from training rows.

    Args:
      frame: rows of a `samples.SampleTable`.
      schema: the declaration of its features.
      further: {table: values that count beside those of the columns}, such as
        the items of actions; a table that no column has gets all of them.
    """
    normalisers = tuple(
        Normaliser.fit(one, frame[DENSE + one.name]) for one in schema.dense
    )
    tables, offset = {}, 1
    for name, (found, caps) in _columns(frame, schema, further or {}).items():
      buckets, min_count, max_values = caps
      known = () if buckets else frequent_values(found, min_count, max_values)
      tables[name] = ValueTable(offset, known, buckets)
      offset += tables[name].size
    return cls(schema, normalisers, tables)

  def extended(
      self,
      frame: pl.DataFrame,
      further: Mapping[str, pl.Series],
      fixed: Collection[str] = (),
  ) -> "FeatureSpace":
    """For a model that goes on with newer rows.

    All ids stay as they are, and values that only the newer rows have get new
    ones behind them. Numbers are normalised as before: the model knows them so.

    Args:
      frame, further: see `fit`.
      fixed: tables without new values.
    """
    tables, last = dict(self.tables), self.num_ids
    for name, (found, caps) in _columns(frame, self.schema, further).items():
      buckets, min_count, max_values = caps
      if buckets or name in fixed:
        continue
      known = set(tables[name].values)
      new = [x for x in frequent_values(found, min_count, 0) if x not in known]
      if max_values:
        new = new[: max(max_values - len(known), 0)]
      tables[name] = tables[name].extended(new, last)
      last += len(new)
    return FeatureSpace(self.schema, self.normalisers, tables)

  @property
  def num_ids(self) -> int:
    """Rows of the array of vectors, padding included."""
    return 1 + sum(table.size for table in self.tables.values())

  @property
  def dense_width(self) -> int:
    return dense_width(self.normalisers)

  def encode(self, frame: pl.DataFrame) -> dict[str, np.ndarray]:
    """The features of rows of a `samples.SampleTable`.

    Returns:
      `ids` [n, categorical columns] int32; `dense` [n, dense_width] float32;
      `bag/NAME` [n, max_length] int32 for each column of several values.
    """
    schema = self.schema
    ids = [
        self.tables[one.of_table].ids(frame[CATEGORICAL + one.name])
        for one in schema.categorical
    ]
    out = {
        IDS_ARRAY: np.stack(ids, 1)
        if ids
        else np.zeros((frame.height, 0), np.int32),
        DENSE_ARRAY: dense_array(
            self.normalisers,
            [frame[DENSE + name] for name in schema.names("dense")],
        )
        if schema.dense
        else np.zeros((frame.height, 0), np.float32),
    }
    for one in schema.sequences:
      out[BAG + one.name] = bag_ids(
          frame[CATEGORICAL + one.name],
          one.separator,
          one.max_length,
          self.tables[one.of_table],
      )
    return out

  def to_json(self) -> dict[str, Any]:
    """What `load` reads."""
    return {
        "schema": self.schema.to_json(),
        "normalisers": [one.to_json() for one in self.normalisers],
        "tables": {k: table.to_json() for k, table in self.tables.items()},
    }

  def save(self, folder: Path) -> None:
    """Writes FOLDER/features.json."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(self.to_json(), ensure_ascii=False)
    write_whole(folder / FILE, text + "\n")

  @classmethod
  def load(cls, folder: Path) -> "FeatureSpace":
    """Reads what `save` wrote.

    Raises:
      UserError: if the file is missing or damaged.
    """
    path = folder / FILE
    found = json_files.read_object(path)
    with json_files.damage_named(str(path)):
      schema = FeatureSchema.of(**found["schema"])
      return cls(
          schema,
          tuple(
              Normaliser.of_json(one, values)
              for one, values in zip(
                  schema.dense, found["normalisers"], strict=True
              )
          ),
          {k: ValueTable.of_json(v) for k, v in found["tables"].items()},
      )

  def summary(self, frame: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """{column: counts} of some rows: how much is missing, how much unknown."""
    out: dict[str, dict[str, Any]] = {}
    for one, normaliser in zip(
        self.schema.dense, self.normalisers, strict=True
    ):
      values = frame[DENSE + one.name]
      out[one.name] = {
          "kind": one.transform,
          "missing": values.null_count() / max(len(values), 1),
          "values": values.n_unique(),
          "min": values.min(),
          "max": values.max(),
          "mean": normaliser.mean,
      }
    for column in (*self.schema.categorical, *self.schema.sequences):
      values = split_values(
          frame[CATEGORICAL + column.name], column.separator
      )
      table = self.tables[column.of_table]
      unknown = int((table.ids(values) == table.unknown).sum())
      out[column.name] = {
          "kind": f"{column.buckets:,} buckets"
          if column.buckets
          else "vocabulary",
          "missing": values.null_count() / max(len(values), 1),
          "values": values.n_unique(),
          "ids": table.size,
          "unknown": unknown / max(len(values), 1),
      }
    return out


def _columns(
    frame: pl.DataFrame,
    schema: FeatureSchema,
    further: Mapping[str, pl.Series],
) -> dict[str, tuple[list[pl.Series], tuple[int, int, int]]]:
  """{table: (values of its columns, caps of its ids)}; see `fit`."""
  found: dict[str, tuple[list[pl.Series], tuple[int, int, int]]] = {}
  for one in (*schema.categorical, *schema.sequences):
    values = split_values(frame[CATEGORICAL + one.name], one.separator)
    found.setdefault(one.of_table, ([], one.caps))[0].append(values)
  for name, values in further.items():
    found.setdefault(name, ([], (0, 1, 0)))[0].append(values)
  return found


def to_markdown(summary: Mapping[str, Mapping[str, Any]]) -> str:
  """The summary as one table."""
  if not summary:
    raise UserError("the rows have no features: declare some in the config.")
  shown = lambda found, name, form: (
      format(found[name], form) if found.get(name) is not None else ""
  )
  header = [
      *("column", "kind", "missing", "distinct", "ids", "unknown"),
      *("least", "largest"),
  ]
  return markdown.table(
      header,
      [
          [
              name,
              found["kind"],
              shown(found, "missing", ".1%"),
              shown(found, "values", ","),
              shown(found, "ids", ","),
              shown(found, "unknown", ".1%"),
              shown(found, "min", "g"),
              shown(found, "max", "g"),
          ]
          for name, found in summary.items()
      ],
  )

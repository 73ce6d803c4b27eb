"""From a config to the request tables of a ranking run."""

from collections.abc import Mapping
import dataclasses
import math
from pathlib import Path
from typing import Any

import ml_collections
import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.data.features import FeatureSchema
from behavior_lm.data.features import FeatureSpace
from behavior_lm.data.features.actions import Actions
from behavior_lm.data.features.actions import dataset_events
from behavior_lm.data.features.requests import ACTION_TABLE
from behavior_lm.data.features.requests import request_rows
from behavior_lm.data.features.requests import RequestRows
from behavior_lm.data.features.requests import rows_as_events
from behavior_lm.data.features.requests import sample_columns
from behavior_lm.data.features.source import CRITEO
from behavior_lm.data.features.source import read_source
from behavior_lm.data.features.space import BAG
from behavior_lm.data.features.user_vectors import UserVectors
from behavior_lm.data.samples import History
from behavior_lm.data.samples import read_table
from behavior_lm.data.samples import SampleTable
from behavior_lm.data.samples.table import times_of
from behavior_lm.logs import schema
from behavior_lm.logs.dataset import open_dataset
from behavior_lm.models.ranker import RankerInputs

# The value of data.actions by which earlier rows are the actions.
ROWS = "rows"
SPLITS = ("train", "valid", "test")
# Second names of columns that are features as well.
_USER, _CANDIDATE = "request/user", "request/candidate"


@dataclasses.dataclass(frozen=True)
class RequestData:
  """The tables of a run.

  Attributes:
    tables: {split: rows as they were read}.
    space: features, fitted on the training rows.
    actions: of all users, or None.
    sides: {split: encoded rows}.
  """

  tables: Mapping[str, SampleTable]
  space: FeatureSpace
  actions: Actions | None
  sides: Mapping[str, RequestRows]


def feature_schema(config: ml_collections.ConfigDict) -> FeatureSchema:
  """The declaration of `config.data.features`."""
  features = config.data.features.to_dict()
  return FeatureSchema.of(**features)


def heads_of(config: ml_collections.ConfigDict) -> tuple[str, ...]:
  """The label columns, by comma in `config.data.columns.heads`."""
  names = tuple(filter(None, config.data.columns.heads.split(",")))
  if not names:
    raise UserError(
        "no heads: set --config.data.columns.heads to the columns of 0 and 1"
        " that are predicted."
    )
  return names


def label_matrix(config: ml_collections.ConfigDict) -> np.ndarray | None:
  """[heads, heads + 1] of `config.objective.label_weights`, None if empty.

  Raises:
    UserError: if a row has not one number per head and one for "no action".
  """
  text = config.objective.label_weights
  if not text:
    return None
  number = len(heads_of(config))
  try:
    found = np.array([
        [float(cell) for cell in row.split(",")] for row in text.split(";")
    ])
  except ValueError as error:
    raise UserError(f"config.objective.label_weights: {error}") from error
  if found.shape != (number, number + 1):
    raise UserError(
        f"config.objective.label_weights has the shape {found.shape}; {number}"
        f" heads need {number} rows by semicolons, each with {number + 1}"
        " numbers by commas: one per action, and one for rows without any."
    )
  return found


def read_tables(
    config: ml_collections.ConfigDict, splits: tuple[str, ...] = SPLITS
) -> dict[str, SampleTable]:
  """Reads the tables that the config names.

  Raises:
    UserError: if the training table is missing, or a table is unreadable.
  """
  tables = {}
  for split in splits:
    if config.data[split]:
      path = Path(config.data.path) / config.data[split]
      tables[split] = read_requests(config, path)
  if "train" in splits and "train" not in tables:
    raise UserError(
        "no training rows: set --config.data.path to the folder of the tables"
        " and --config.data.train to a file in it."
    )
  return tables


def read_requests(
    config: ml_collections.ConfigDict, path: Path, *, labelled: bool = True
) -> SampleTable:
  """Reads one table of requests.

  Args:
    config: of the run, which says what its columns are.
    path: the file.
    labelled: whether it has the columns of the heads; without, all labels are
      missing.
  """
  data, heads = config.data, heads_of(config)
  raw = read_source(
      path,
      header=_header(data.header),
      lookups={
          column: str(Path(data.path) / file)
          for column, file in data.lookups.items()
      },
  )
  if not labelled:
    raw = raw.with_columns(pl.lit(None).alias(head) for head in heads)
  schema_of = feature_schema(config)
  named = {
      name: data.columns[name]
      for name in ("user", "time", "weight", "timezone")
  }
  if named["user"] in schema_of.columns and named["user"] in raw.columns:
    # The user is a feature as well: two columns say so.
    raw = raw.with_columns(pl.col(named["user"]).alias(_USER))
    named["user"] = _USER
  candidates = []
  if data.candidate in raw.columns:
    # What is shown is a feature as well, and says which rows are the same.
    raw = raw.with_columns(pl.col(data.candidate).alias(_CANDIDATE))
    candidates = [_CANDIDATE]
  columns = sample_columns(
      schema_of, heads=heads, candidates=candidates, **named
  )
  return read_table(
      raw, columns, None, max_bad_fraction=data.max_bad_fraction
  )


def _header(text: str) -> Any:
  return text if text in ("", CRITEO) else text.split(",")


def read_events(
    config: ml_collections.ConfigDict, tables: Mapping[str, SampleTable]
) -> pl.DataFrame | None:
  """The actions that `config.data.actions` names, None for none."""
  data = config.data
  if not data.actions:
    return None
  excluded = tuple(filter(None, data.excluded_actions.split(",")))
  if data.actions == ROWS:
    if data.candidate not in feature_schema(config).names("categorical"):
      raise UserError(
          f"data.candidate is {data.candidate!r}, which is no categorical"
          " feature: name the column of the item that is shown."
      )
    past = filter(None, data.get("past", "").split(","))
    known = [read_requests(config, Path(data.path) / file) for file in past]
    events = rows_as_events(
        [*known, *tables.values()], heads_of(config), data.candidate
    )
    return events.filter(~pl.col(schema.EVENT_ID).is_in(excluded))
  return dataset_events(History(open_dataset(data.actions)), excluded)


def make_data(
    config: ml_collections.ConfigDict,
    space: FeatureSpace | None = None,
    older: FeatureSpace | None = None,
) -> RequestData:
  """Reads and encodes what a run needs.

  Args:
    config: of the run.
    space: of a run that exists; None fits one on the training rows, and on
      actions up to their last one.
    older: of the ranker that a new run starts from, which is extended.
  """
  tables = read_tables(config)
  events = read_events(config, tables)
  if space is None:
    space = fit_space(config, tables["train"], events, older)
  actions = make_actions(config, space, events)
  vectors = read_vectors(config)
  return RequestData(
      tables,
      space,
      actions,
      {
          name: encode_rows(config, table, space, actions, vectors)
          for name, table in tables.items()
      },
  )


def read_vectors(config: ml_collections.ConfigDict) -> UserVectors | None:
  """The vectors of `config.data.user_vectors`; their width is written there.

  Raises:
    UserError: if a run was trained on vectors of another width.
  """
  if not config.data.user_vectors:
    return None
  vectors = UserVectors.read(config.data.user_vectors)
  if config.data.user_dim not in (0, vectors.dim):
    raise UserError(
        f"{config.data.user_vectors}: holds vectors of {vectors.dim} numbers;"
        f" the run reads {config.data.user_dim}."
    )
  config.data.user_dim = vectors.dim
  return vectors


def fit_space(
    config: ml_collections.ConfigDict,
    train: SampleTable,
    events: pl.DataFrame | None,
    older: FeatureSpace | None = None,
) -> FeatureSpace:
  """Features by the training rows, and by actions up to their last one.

  Raises:
    UserError: if `older`, which is extended, has other features.
  """
  further = {}
  if events is not None:
    last = times_of(train.frame).max()
    known = events.filter(
        pl.col(schema.TIMESTAMP).to_physical() <= int(last)
    )
    further = {
        ACTION_TABLE: known[schema.EVENT_ID],
        _item_table(config): known[schema.DESIGN_ID],
    }
  declared = feature_schema(config)
  if older is None:
    return FeatureSpace.fit(train.frame, declared, further)
  if (declared, bool(further)) != (older.schema, ACTION_TABLE in older.tables):
    raise UserError(
        f"{config.init_from.model}: has other features or actions than this"
        " config. Give the data.features and data.actions of that run."
    )
  # Counts of each type of action are inputs of layers, which do not grow.
  return older.extended(train.frame, further, fixed=(ACTION_TABLE,))


def make_actions(
    config: ml_collections.ConfigDict,
    space: FeatureSpace,
    events: pl.DataFrame | None,
) -> Actions | None:
  """Actions as ids of a run."""
  if events is None:
    return None
  return Actions.of(
      events, space.tables[ACTION_TABLE], space.tables[_item_table(config)]
  )


def encode_rows(
    config: ml_collections.ConfigDict,
    table: SampleTable,
    space: FeatureSpace,
    actions: Actions | None,
    vectors: UserVectors | None,
) -> RequestRows:
  """The rows of a table as arrays."""
  return request_rows(
      table,
      space,
      actions,
      num_actions=config.data.num_actions,
      matrix=label_matrix(config),
      user_weights=config.objective.user_weights.to_dict(),
      vectors=vectors,
  )


def ranker_inputs(
    config: ml_collections.ConfigDict, space: FeatureSpace
) -> RankerInputs:
  """What a model must know of the features."""
  tables = space.tables
  reads_actions = bool(config.data.actions)
  columns = space.schema.names("categorical")
  found = config.data.candidate
  if reads_actions and found not in columns:
    raise UserError(
        f"data.candidate is {found!r}; the categorical features are"
        f" {', '.join(columns)}."
    )
  zero = [x for t in tables.values() for x in (t.missing, t.unknown)]
  return RankerInputs(
      num_ids=space.num_ids,
      num_columns=len(columns),
      candidate=columns.index(found) if found in columns else -1,
      zero_ids=tuple(zero),
      unknown_ids=tuple(
          tables[one.of_table].unknown for one in space.schema.categorical
      ),
      bags=tuple(BAG + name for name in space.schema.names("sequences")),
      dense_width=space.dense_width,
      num_actions=config.data.num_actions if reads_actions else 0,
      num_types=tables[ACTION_TABLE].size if reads_actions else 0,
      user_dim=config.data.user_dim,
  )


def logit_shift(config: ml_collections.ConfigDict) -> float:
  """What undoes the sampling of negatives: log of the share that was kept.

  With a share w of the negatives, the odds that a model learns are 1 / w times
  the true ones (He et al. 2014, section 6.3).
  """
  return math.log(config.data.negative_rate)


def _item_table(config: ml_collections.ConfigDict) -> str:
  """The table of ids of what actions were done with."""
  for one in feature_schema(config).categorical:
    if one.name == config.data.candidate:
      return one.of_table
  raise UserError(
      f"data.candidate is {config.data.candidate!r}, which is no categorical"
      " feature: name the column of the item that is shown."
  )



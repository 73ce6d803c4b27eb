"""The canonical event table and the special tokens.

One row is one event. Ids are strings: real logs hold `ai`, `Item_Garden` and
`+44703335` among the numbers.
"""

from collections.abc import Mapping
import dataclasses

import numpy as np
import polars as pl

# Written into every dataset; readers refuse another one.
SCHEMA_VERSION = 3

USER_ID = "user_id"
EVENT_ID = "event_id"
DESIGN_ID = "design_id"
TIMESTAMP = "timestamp"
EVENT_COLUMNS = (USER_ID, EVENT_ID, DESIGN_ID, TIMESTAMP)

# The design id of an event without an argument.
NO_DESIGN = "0"

EVENT_SCHEMA = pl.Schema([
    (USER_ID, pl.String()),
    (EVENT_ID, pl.String()),
    (DESIGN_ID, pl.String()),
    (TIMESTAMP, pl.Datetime("us", "UTC")),
])

# What an extra column holds: quantities, or names out of a set.
NUMERIC, CATEGORICAL = "numeric", "categorical"
# {name: NUMERIC or CATEGORICAL} of the extra columns, in their order.
Kinds = Mapping[str, str]
# How the values of an extra column are stored, one per event.
EXTRA_DTYPES: dict[str, np.dtype] = {
    NUMERIC: np.dtype("<f8"),
    CATEGORICAL: np.dtype("<i4"),
}
# Codes of a categorical column; the values of the vocabulary follow from 1 on.
UNKNOWN_CATEGORY, MISSING_CATEGORY = 0, -1


@dataclasses.dataclass(frozen=True)
class Extra:
  """What a model needs to know of an extra column of a dataset.

  Attributes:
    kind: NUMERIC or CATEGORICAL.
    categories: of a categorical column, the number of its codes: they are 0
      (unknown) to categories - 1; an event without a value has -1.
    mean: of a numeric column, over the events of train that have a value; 0
      where none has one.
    std: of the same values, such that (value - mean) / std is finite: it is 1
      where they do not differ.
  """

  kind: str
  categories: int = 0
  mean: float = 0.0
  std: float = 1.0


# Token ids below NUM_SPECIAL are special in every tokenizer.
PAD_ID, MASK_ID, UNK_ID, CLS_ID, SEP_ID = range(5)
SPECIAL_TOKENS = ("[PAD]", "[MASK]", "[UNK]", "[CLS]", "[SEP]")
NUM_SPECIAL = len(SPECIAL_TOKENS)

# Time gaps are counted in units of 100 ms.
GAP_UNIT_US = 100_000
GAPS_PER_SECOND = 1_000_000 // GAP_UNIT_US

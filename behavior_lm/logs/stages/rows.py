"""An event as it lies on disk between two stages: a row of fixed size.

A row has 20 bytes: hash of the user, code of the pair, time. Each numeric
extra column adds 8 bytes and each categorical one 4.
"""

import numpy as np

from behavior_lm.logs import schema

# An extra column may be called `user` or `time`, so its field has this before.
_EXTRA = "extra "


def row_type(extras: schema.Kinds) -> np.dtype:
  """Type of a row: user (hash), pair (code), time (microseconds), extras."""
  fields = [("user", "<u8"), ("pair", "<i4"), ("time", "<i8")]
  return np.dtype(
      fields
      + [
          (_EXTRA + name, schema.EXTRA_DTYPES[kind].str)
          for name, kind in extras.items()
      ]
  )


def extra_field(name: str) -> str:
  """The field of an extra column."""
  return _EXTRA + name


def extra_names(kind: np.dtype) -> tuple[str, ...]:
  """The extra columns of a type of row."""
  return tuple(
      field.removeprefix(_EXTRA)
      for field in kind.names or ()
      if field.startswith(_EXTRA)
  )

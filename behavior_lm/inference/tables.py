"""Tables of events as people have them: Polars, pandas, a list of rows."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.logs import schema


def as_frame(events: Any) -> pl.DataFrame | None:
  """A table of events as a Polars frame; None for what is no table.

  Args:
    events: a Polars or pandas DataFrame, or a list of rows: dicts that have a
      user_id each.

  Raises:
    UserError: if the columns cannot be read.
  """
  if isinstance(events, pl.DataFrame):
    return events
  if type(events).__module__.partition(".")[0] == "pandas":
    return pl.DataFrame([_of_pandas(events[name], name) for name in events])
  rows = isinstance(events, list | tuple) and len(events) > 0
  if rows and all(_is_row(row) for row in events):
    try:
      return pl.DataFrame(events, infer_schema_length=None)
    except (pl.exceptions.PolarsError, TypeError) as error:
      raise UserError(
          f"the rows have values of several kinds in one column ({error})."
          " Give ids as texts and times as datetimes."
      ) from error
  return None


def _is_row(row: Any) -> bool:
  return isinstance(row, Mapping) and schema.USER_ID in row


def _of_pandas(column: Any, name: Any) -> pl.Series:
  """Without pyarrow, which pl.from_pandas needs."""
  if getattr(column.dtype, "tz", None) is not None:
    column = column.dt.tz_convert("UTC").dt.tz_localize(None)
  missing = column.isna().to_numpy()
  values = column.to_numpy()
  if values.dtype.kind == "M":
    # NaT becomes null.
    return pl.Series(str(name), values)
  if values.dtype.kind in "iub" or not missing.any():
    listed = values if values.dtype.kind != "O" else values.tolist()
  else:
    whole: np.ndarray = values.astype(object)
    whole[missing] = None
    listed = whole.tolist()
  try:
    return pl.Series(str(name), listed)
  except (pl.exceptions.PolarsError, TypeError) as error:
    raise UserError(
        f"column {name!r} of the frame holds values of several kinds"
        f" ({error}). Cast it: ids to texts, times to datetimes."
    ) from error

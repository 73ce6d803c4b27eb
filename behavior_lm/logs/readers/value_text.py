"""One text for one value, whatever the reader, the type or the file.

A whole number has no point (pandas makes floats of whole numbers as soon as
one is missing), a fraction has as few digits as tell it from its neighbours
and no exponent, zero has no sign, and booleans are true and false. Values that
are texts already stay as they are.
"""

import decimal
from typing import Any

import numpy as np
import polars as pl

# What people write where a number is missing, in small letters.
NO_NUMBER = ("na", "n/a", "#n/a", "<na>", "nan", "null", "none", "nil", "\\n")
# No number of a document store has an exponent as large as this.
_MAX_EXPONENT = 6_200
# How the JSON of document stores wraps a plain value.
_WRAPPED = (
    "$oid", "$date", "$numberLong", "$numberInt", "$numberDouble",
    "$numberDecimal", "$uuid", "$symbol",
)  # fmt: skip


def of_series(values: pl.Series) -> pl.Series:
  """Values of any plain type -> String, null where there is none."""
  kind = values.dtype
  if kind.is_float():
    return _of_floats(values)
  text = values.cast(pl.String)
  if kind.is_decimal():
    trimmed = text.str.strip_chars_end("0").str.strip_chars_end(".")
    has_point = text.str.contains(".", literal=True)
    return trimmed.zip_with(has_point, text).replace("-0", "0")
  return text


def _of_floats(values: pl.Series) -> pl.Series:
  kind = values.dtype
  whole = values.cast(pl.Int64, strict=False)
  is_whole = (whole.cast(kind) == values).fill_null(False)
  if is_whole.all():
    return whole.cast(pl.String)
  numbers = values.fill_nan(None)
  text = whole.cast(pl.String).zip_with(is_whole, numbers.cast(pl.String))
  odd = numbers.filter(text.str.contains("e", literal=True)).unique()
  if len(odd):
    texts = {str(x): of_float(x) for x in odd.to_numpy()}
    known = odd.cast(pl.String).to_list()
    return text.replace(known, list(texts.values()))
  return text


def of_float(number: Any) -> str:
  """A float of Python or NumPy -> its text."""
  if not np.isfinite(number):
    return str(float(number))
  if number == int(number) and abs(number) < 2**63:
    return str(int(number))
  text = np.format_float_positional(number, trim="-")
  return str(text)


def of_json(value: Any) -> str | None:
  """A plain JSON value -> its text; None for null.

  Raises:
    TypeError: if it is an object or a list.
  """
  if value is None or isinstance(value, str):
    return value
  if isinstance(value, bool):
    return "true" if value else "false"
  if isinstance(value, int):
    return str(value)
  if isinstance(value, float):
    return of_float(value)
  raise TypeError(f"{type(value).__name__} has no text")


def unwrapped(value: Any) -> Any:
  """`{"$oid": "5f"}` -> "5f", and its relatives; other values as they are."""
  while isinstance(value, dict) and len(value) == 1:
    [(key, inner)] = value.items()
    if key not in _WRAPPED:
      break
    is_fraction = key in ("$numberDouble", "$numberDecimal")
    value = _of_decimal(inner) if is_fraction else inner
  return value


def _of_decimal(text: Any) -> Any:
  """The text of a number as any other column of numbers would have it."""
  try:
    number = decimal.Decimal(str(text))
  except decimal.InvalidOperation:
    return text
  if number.is_nan():
    return None
  if number.is_infinite() or abs(number.adjusted()) > _MAX_EXPONENT:
    return str(float(number))
  found = format(number, "f")
  found = found.rstrip("0").rstrip(".") if "." in found else found
  return "0" if found == "-0" else found

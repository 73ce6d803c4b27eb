"""Reads Parquet logs in batches."""

from collections.abc import Collection, Iterator, Mapping, Sequence

import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from behavior_lm.common.errors import first_line
from behavior_lm.common.errors import UserError
from behavior_lm.logs import schema
from behavior_lm.logs.readers import clean
from behavior_lm.logs.readers import columns
from behavior_lm.logs.readers import quarantine
from behavior_lm.logs.readers import value_text
from behavior_lm.logs.readers.source_file import Source

BATCH_ROWS = 500_000
_IDS = (schema.USER_ID, schema.EVENT_ID, schema.DESIGN_ID)
# 32 hexadecimal digits as people write them.
_UUID = (r"^(.{8})(.{4})(.{4})(.{4})(.{12})$", "$1-$2-$3-$4-$5")


def count_rows(source: Source) -> int:
  """Rows of the file, from its footer alone."""
  with _open(source) as file:
    return int(file.metadata.num_rows)


def group_rows(source: Source) -> list[int]:
  """Rows of each row group, from the footer alone."""
  with _open(source) as file:
    metadata = file.metadata
    return [
        int(metadata.row_group(group).num_rows)
        for group in range(metadata.num_row_groups)
    ]


def read_parquet(
    source: Source,
    mapping: dict[str, str],
    extras: Sequence[str] = (),
    rejected: quarantine.Quarantine | None = None,
) -> Iterator[pl.DataFrame]:
  """Yields batches as `clean.clean` takes them.

  Args:
    source: the file.
    mapping: {ours: theirs} of the columns that differ.
    extras: further columns, by our names; yielded as they are.
    rejected: keeps the names of the columns that are not read.

  Raises:
    UserError: if the file is not whole, or a column cannot be used.
  """
  with _open(source) as file:
    found = [field.name for field in file.schema_arrow]
    values = source.folder_values
    resolved = columns.resolve_columns(
        mapping, found, source.name, extras, values
    )
    if rejected is not None:
      rejected.unkept.update({*found} - {*resolved.values()})
    ours = (*schema.EVENT_COLUMNS, *extras)
    stated = columns.stated(mapping, resolved, values, ours)
    first, last = source.groups or (0, file.metadata.num_row_groups)
    row = 1 + sum(
        file.metadata.row_group(group).num_rows for group in range(first)
    )
    described = [file.schema.column(i) for i in range(len(file.schema))]
    instants = {
        column.name
        for column in described
        # Spark writes instants so, without saying that they are of UTC.
        if column.physical_type == "INT96"
    }
    batches = file.iter_batches(
        batch_size=BATCH_ROWS,
        row_groups=range(first, last),
        columns=sorted(set(resolved.values())),
    )
    while True:
      try:
        batch = next(batches, None)
      except (OSError, pa.ArrowException) as error:
        raise UserError(
            f"{source.path}: damaged Parquet file, row {row:,} and after"
            f" cannot be read ({_short(error)}). Copy it again."
        ) from error
      if batch is None:
        return
      yield _as_raw(
          batch, resolved, ours, stated, instants, row, source.name
      )
      row += batch.num_rows


def _open(source: Source) -> pq.ParquetFile:
  try:
    return pq.ParquetFile(
        source.path, pre_buffer=False, coerce_int96_timestamp_unit="us"
    )
  except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
    with source.path.open("rb") as file:
      whole = file.read(4) == b"PAR1"
    what = (
        "a Parquet file that was cut off or damaged. Copy it again"
        if whole
        else "not a Parquet file. Pass the right --format or the right file"
    )
    raise UserError(f"{source.path}: is {what}.") from error


def _as_raw(
    batch: pa.RecordBatch,
    resolved: dict[str, str],
    wanted: Sequence[str],
    stated: Mapping[str, str | None],
    instants: Collection[str],
    row: int,
    file: str,
) -> pl.DataFrame:
  data: dict[str, pl.Series] = {
      clean.ROW: pl.int_range(
          row, row + batch.num_rows, dtype=pl.Int64, eager=True
      )
  }
  undecoded = pl.Series([False]).new_from_index(0, batch.num_rows)
  for ours in wanted:
    if ours not in resolved:
      data[ours] = pl.Series(
          [stated.get(ours)], dtype=pl.String
      ).new_from_index(0, batch.num_rows)
      continue
    found = _to_series(batch.column(resolved[ours]), resolved[ours], file)
    if resolved[ours] in instants:
      found = found.dt.replace_time_zone("UTC")
    if ours in _IDS:
      data[ours] = _as_id(found, resolved[ours], file)
    elif found.dtype == pl.Binary:
      data[ours] = _decode(found)
    elif ours == schema.TIMESTAMP and isinstance(found.dtype, pl.Duration):
      raise UserError(
          f"{file}: column {resolved[ours]!r} is of type {found.dtype}, which"
          " is no time. Name another one with --columns."
      )
    elif found.dtype in (pl.Categorical, pl.Enum):
      data[ours] = found.cast(pl.String)
    else:
      data[ours] = found
    if found.dtype == pl.Binary:
      undecoded |= found.is_not_null() & data[ours].is_null()
  if undecoded.any():
    data[clean.WHY] = pl.select(
        pl.when(undecoded).then(pl.lit(quarantine.BAD_ENCODING))
    ).to_series()
  return pl.DataFrame(data)


def _to_series(column: pa.Array, name: str, file: str) -> pl.Series:
  kind = column.type
  if isinstance(kind, pa.UuidType):
    found = pl.Series(column.storage.to_pylist(), dtype=pl.Binary)
    return found.bin.encode("hex").str.replace(*_UUID)
  if isinstance(kind, pa.BaseExtensionType):
    column, kind = column.storage, kind.storage_type
  if pa.types.is_decimal256(kind):
    try:
      column = column.cast(pa.decimal128(38, kind.scale))
    except pa.ArrowInvalid as error:
      raise UserError(
          f"{file}: column {name!r} has numbers of more than 38 digits. Write"
          " it as text, or leave it out."
      ) from error
  if pa.types.is_string(kind) or pa.types.is_large_string(kind):
    try:
      # Nobody has checked so far that the bytes are UTF-8.
      column.validate(full=True)
    except pa.ArrowInvalid:
      large = pa.types.is_large_string(kind)
      column = column.view(pa.large_binary() if large else pa.binary())
  if pa.types.is_timestamp(kind) and kind.tz is not None:
    # The values count from 1970 UTC whatever the zone, and a zone may be
    # +05:30 or a name that only another program knows.
    column = column.cast(pa.timestamp(kind.unit, "UTC"))
  series = pl.from_arrow(column)
  if not isinstance(series, pl.Series):
    raise TypeError(f"cannot read a column of type {kind}")
  return series


def _as_id(column: pl.Series, name: str, file: str) -> pl.Series:
  """Ids of any plain type -> String."""
  kind = column.dtype
  if kind == pl.String:
    return column
  if kind == pl.Binary:
    return _decode(column)
  if kind.is_nested() or (kind.is_temporal() and kind != pl.Date):
    raise UserError(
        f"{file}: column {name!r} is of type {kind}, which is no id. Name"
        " another one with --columns."
    )
  return value_text.of_series(column)


def _decode(column: pl.Series) -> pl.Series:
  """Binary -> String, null where the bytes are not UTF-8."""
  try:
    return column.cast(pl.String)
  except pl.exceptions.PolarsError:
    # Rare enough for Python: one value at a time.
    values = [_decode_value(value) for value in column.to_list()]
    return pl.Series(values, dtype=pl.String)


def _decode_value(value: bytes | None) -> str | None:
  try:
    return None if value is None else value.decode()
  except UnicodeDecodeError:
    return None


def _short(error: Exception) -> str:
  return first_line(error)[:120]

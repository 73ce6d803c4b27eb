"""The formats that logs come in, and one function to read them all.

The generic ones (CSV, TSV, JSON Lines, Parquet) name their columns, and
--columns maps the names. FORMATS has those that need to be known; each is one
small file beside this one, which shows a made-up line and says what becomes
of it.
"""

from collections.abc import Iterator, Sequence

import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.logs.formats.amazon import AMAZON
from behavior_lm.logs.formats.collm import COLLM
from behavior_lm.logs.formats.criteo import CRITEO
from behavior_lm.logs.formats.justice_json import JUSTICE_JSON
from behavior_lm.logs.formats.justice_level import JUSTICE_LEVEL
from behavior_lm.logs.formats.justice_words import JUSTICE_WORDS
from behavior_lm.logs.formats.log_format import LogFormat
from behavior_lm.logs.formats.log_format import Request
from behavior_lm.logs.formats.recbole import RECBOLE
from behavior_lm.logs.formats.s3rec import S3REC
from behavior_lm.logs.formats.sasrec import SASREC
from behavior_lm.logs.formats.sasrec_time import SASREC_TIME
from behavior_lm.logs.formats.taobao import TAOBAO
from behavior_lm.logs.formats.tianchi import TIANCHI
from behavior_lm.logs.readers import columns as columns_lib
from behavior_lm.logs.readers import delimited
from behavior_lm.logs.readers import jsonl
from behavior_lm.logs.readers import parquet_log
from behavior_lm.logs.readers import source_file
from behavior_lm.logs.readers.quarantine import Quarantine
from behavior_lm.logs.readers.source_file import Source

AUTO = "auto"
FORMATS: dict[str, LogFormat] = {
    "justice_words": JUSTICE_WORDS,
    "justice_json": JUSTICE_JSON,
    "justice_level": JUSTICE_LEVEL,
    "tianchi": TIANCHI,
    "taobao": TAOBAO,
    "recbole": RECBOLE,
    "amazon": AMAZON,
    "criteo": CRITEO,
    "sasrec": SASREC,
    "sasrec_time": SASREC_TIME,
    "s3rec": S3REC,
    "collm": COLLM,
}
_GENERIC = {
    AUTO: "one of the next four, by the names of the files",
    source_file.CSV: "columns with a header line; also ; or | between fields",
    source_file.TSV: "columns with a header line, tabs between fields",
    source_file.JSONL: "one JSON object a line, or one array of objects",
    source_file.PARQUET: "Parquet",
}


def read(
    source: Source,
    *,
    log_format: str,
    columns: dict[str, str],
    extras: Sequence[str],
    encoding: str,
    rejected: Quarantine,
    header: Sequence[str] = (),
) -> Iterator[pl.DataFrame]:
  """Reads one file, whatever its format.

  Args:
    source: the file, as sources.find_sources gives it.
    log_format: a name in FORMATS, or auto or one of source_file.GENERIC: the
      format of `source` counts then.
    columns: {ours: theirs} of the columns that differ.
    extras: further columns, by our names.
    encoding: of text files.
    rejected: gets what is no event.
    header: names of the columns of CSV and TSV files without a header line.

  Yields:
    row (Int64, 1-based line or row), user_id, event_id, design_id (String),
    timestamp (whatever TimeReader takes) and the extras (text or numbers), as
    `clean.clean` takes them.

  Raises:
    UserError: if the format is unknown or the file is not of it.
  """
  check(log_format)
  if log_format in FORMATS:
    request = Request(columns, tuple(extras), encoding, rejected)
    yield from FORMATS[log_format].read(source, request)
  elif source.format == source_file.PARQUET:
    yield from parquet_log.read_parquet(source, columns, extras, rejected)
  elif source.format == source_file.JSONL:
    yield from jsonl.read_jsonl(source, columns, encoding, rejected, extras)
  else:
    yield from delimited.read_delimited(
        source, columns, encoding, rejected, extras, names=header or None
    )


def check(log_format: str) -> None:
  """Raises UserError if there is no such format."""
  if log_format not in FORMATS and log_format not in _GENERIC:
    raise UserError(
        f"--format {log_format!r} is unknown; there are\n{describe()}"
    )


def describe() -> str:
  """A line for each format, as --list_formats prints them."""
  known = {name: found.summary for name, found in FORMATS.items()}
  return "\n".join(
      f"  {name:<14} {text}" for name, text in (_GENERIC | known).items()
  )


def extra_kinds(
    log_format: str, declared: Sequence[str] | None
) -> dict[str, str]:
  """The further columns to read of a format, and what they hold.

  Args:
    log_format: auto, or any name that `check` accepts.
    declared: declarations as `columns.parse_extras` returns them; None for the
      columns that are read of this format when none are named.

  Returns:
    {name: schema.NUMERIC or schema.CATEGORICAL}.

  Raises:
    UserError: if a declaration is malformed.
  """
  known = FORMATS.get(log_format)
  if declared is None:
    declared = known.extras if known else ()
  categories = known.categories if known else ()
  return columns_lib.extra_kinds(declared, categories)


def default_timezone(log_format: str) -> str | None:
  """Zone of this format's times when none is named; None is UTC."""
  return FORMATS[log_format].timezone if log_format in FORMATS else None


def is_ordinal(log_format: str) -> bool:
  """Whether such logs have an order and no times."""
  return log_format in FORMATS and FORMATS[log_format].ordinal

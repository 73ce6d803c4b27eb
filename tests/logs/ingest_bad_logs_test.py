"""Logs and options that cannot be used, and what a person is told."""

import gzip
import random

import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.logs import formats
from behavior_lm.logs.readers import text_lines
from behavior_lm.logs.readers import time_text
from tests.logs.support import log_files

_HEAD = log_files.HEADER + "\n"
_GOOD = "\n".join(log_files.good_rows(20)) + "\n"
_JSON = '{"user_id":"u","event_id":"e","timestamp":"2024-03-04"}\n'
_JUNK = random.Random(0).randbytes(4_000)
_GZIP = gzip.compress((_HEAD + _GOOD * 50).encode())

_FILES = {
    "an empty file": ("log.csv", b"", "{log}: the file is empty (0 bytes)."),
    "a header only": (
        "log.csv",
        _HEAD,
        "{log}: the file has column names and no rows.",
    ),
    "blank lines only": (
        "log.jsonl",
        "\n\n\n",
        "{log}: the file has column names and no rows.",
    ),
    "a missing column": (
        "log.csv",
        "uid,event_id,timestamp\n1,2,3\n",
        "log.csv: no column 'user_id'. Its columns: 'uid', 'event_id',"
        " 'timestamp'. Name the right one with --columns user_id=THEIR_NAME.",
    ),
    "no header": (
        "log.csv",
        "7,login,0,2024-03-04\n",
        "log.csv: no column 'user_id'. Its columns: '7', 'login', '0',"
        " '2024-03-04'. Name the right one with --columns user_id=THEIR_NAME."
        " If that line is a row already, name the columns of all files:"
        " --header user_id,event_id,design_id,timestamp",
    ),
    "a header that names a column twice": (
        "log.csv",
        "user_id,event_id,timestamp,user_id\n1,2,3,4\n",
        "log.csv: the header names 'user_id' more than once. Rename the columns"
        " so that each name is there once.",
    ),
    "binary junk": (
        "log.csv",
        b"\x7fELF\2\1\1\0\0" + _JUNK,
        "{log}: is not a text file (NUL bytes in its first line). Pass the"
        " right file, --format or --encoding.",
    ),
    "binary junk without NUL bytes": (
        "log.csv",
        _JUNK.replace(b"\0", b"").replace(b"\r", b""),
        "{log}: its first line is not utf-8 text (byte 0x*). Pass the right"
        " file, --format or --encoding.",
    ),
    "UTF-16": (
        "log.csv",
        (_HEAD + _GOOD).encode("utf-16"),
        "{log}: is UTF-16 text. Pass --encoding utf-16.",
    ),
    "a header of another encoding": (
        "log.csv",
        "用户,event_id\n".encode("gbk"),
        "{log}: its first line is not utf-8 text (byte 0xd3). Pass the right"
        " file, --format or --encoding.",
    ),
    "lines of the old Macintosh": (
        "log.csv",
        (_HEAD + _GOOD).replace("\n", "\r"),
        "{log}: its lines end with carriage returns alone. Convert them: tr"
        " '\\r' '\\n' < FILE > NEW",
    ),
    "a broken JSON array": (
        "log.json",
        "[" + _JSON.strip() + "\n" + _JSON.strip() + "]\n",
        "{log}: element 2 of the JSON array is broken (no comma before it), so"
        " the next one cannot be found. Repair the file, or write one object a"
        " line.",
    ),
    "a gzip file that is cut off": (
        "log.csv.gz",
        _GZIP[:-20],
        "{log}: the gzip file is cut off; its end is missing. Copy it again, or"
        " unpack what is there and pass that.",
    ),
    "a gzip file that is damaged": (
        "log.csv.gz",
        _GZIP[:60] + bytes(9) + _GZIP[69:],
        "{log}: the gzip file is damaged (*). Copy it again.",
    ),
    "a Parquet file that is cut off": (
        "log.parquet",
        b"PAR1" + bytes(500),
        "{log}: is a Parquet file that was cut off or damaged. Copy it again.",
    ),
    "a text file called Parquet": (
        "log.parquet",
        _HEAD + _GOOD,
        "{log}: is not a Parquet file. Pass the right --format or the right"
        " file.",
    ),
    "times with and without an offset": (
        "log.csv",
        _HEAD + "u,e,d,2024-03-04 10:00:00\nu,e,d,2024-03-04T10:00:00+08:00\n",
        "the log mixes times with and without an offset, and --timezone is not"
        " given: log.csv:3 has '2024-03-04T10:00:00+08:00', log.csv:2 has"
        " '2024-03-04 10:00:00'. Pass --timezone with the zone of the times"
        " that have none, for example --timezone UTC.",
    ),
    "too many bad rows": (
        "log.csv",
        _HEAD + _GOOD + ",e,d,2024-03-04\nu,e,d,never\nu,e,d,never\n",
        "3 of 23 rows (13.0%) were rejected; --max_bad_fraction allows 1.00%."
        " Nothing was written.\n"
        "  2 x unreadable time, first log.csv:23: 'u, e, d, never' (accepted"
        f" are {time_text.ACCEPTED})\n"
        "  1 x no user, first log.csv:22: ', e, d, 2024-03-04'\n"
        "Correct the log or the flags, or raise --max_bad_fraction: the dataset"
        " folder then lists every rejected row in quarantine.jsonl.",
    ),
}


def write(folder, name, content):
  path = folder / name
  path.write_bytes(content.encode() if isinstance(content, str) else content)
  return path


def message(logs, out, **options):
  """What is said; and nothing may be left."""
  before = sorted(out.parent.iterdir())
  with pytest.raises(UserError) as caught:
    log_files.prepare(logs, out, **options)
  assert sorted(out.parent.iterdir()) == before
  return str(caught.value)


def matches(text, pattern):
  """Equal but for one `*`."""
  start, _, end = pattern.partition("*")
  return text.startswith(start) and text.endswith(end)


@pytest.mark.parametrize("kind", _FILES)
def test_the_message_for(tmp_path, kind):
  name, content, want = _FILES[kind]
  log = write(tmp_path, name, content)
  found = message(log, tmp_path / "out")
  assert matches(found, want.format(log=log)), found


def test_binary_junk_called_jsonl_is_too_many_bad_rows(tmp_path):
  log = write(tmp_path, "log.jsonl", _JUNK.replace(b"\0", b""))
  found = message(log, tmp_path / "out")
  assert found.startswith("23 of 23 rows (100.0%) were rejected;")
  assert "x invalid text encoding, first log.jsonl:1: '" in found


def test_no_good_row_at_all_is_refused_whatever_is_allowed(tmp_path):
  log = write(tmp_path, "log.csv", _HEAD + "u,e,d,never\n" * 3)
  found = message(log, tmp_path / "out", max_bad_fraction=1.0)
  assert "3 x unreadable time, first log.csv:2: 'u, e, d, never'" in found


def test_a_line_without_an_end_is_refused(tmp_path, monkeypatch):
  monkeypatch.setattr(text_lines, "CHUNK_BYTES", 1_000)
  monkeypatch.setattr(text_lines, "MAX_LINE_BYTES", 1 << 20)
  log = write(tmp_path, "log.csv", _HEAD + "u,e,d,t\n" + "x" * (2 << 20))
  assert message(log, tmp_path / "out") == (
      f"{log}: line 3 is longer than 1 MB. Is it a text log?"
  )


def test_reading_stops_early_when_there_is_no_hope(tmp_path, monkeypatch):
  monkeypatch.setattr("behavior_lm.logs.stages.read_stage._HOPELESS_ROWS", 100)
  monkeypatch.setattr(text_lines, "CHUNK_BYTES", 1_000)
  log = write(tmp_path, "log.csv", _HEAD + "u,e,d,never\n" * 50_000)
  found = message(log, tmp_path / "out")
  assert int(found.split()[0].replace(",", "")) < 500


def test_one_empty_file_among_others_is_no_error(tmp_path):
  folder = tmp_path / "logs"
  folder.mkdir()
  write(folder, "a.csv", "")
  write(folder, "b.csv", _HEAD)
  write(folder, "c.csv", _HEAD + _GOOD)
  found = log_files.prepare(folder, tmp_path / "out")
  assert [s["rows"] for s in found["sources"]] == [0, 0, 20]


def test_several_files_without_rows_are_refused(tmp_path):
  folder = tmp_path / "logs"
  folder.mkdir()
  write(folder, "a.csv", "")
  write(folder, "b.csv", _HEAD)
  assert message(folder, tmp_path / "out") == (
      f"--logs {folder}: no rows in 2 files; a.csv is empty (0 bytes)."
  )


def test_times_are_compared_across_files(tmp_path):
  folder = tmp_path / "logs"
  folder.mkdir()
  pl.DataFrame({
      "user_id": ["u"],
      "event_id": ["e"],
      "timestamp": [log_files.at(0).replace(tzinfo=None)],
  }).write_parquet(folder / "a.parquet")
  log_files.event_frame([("u", "e", None, 0)]).write_parquet(
      folder / "b.parquet"
  )
  found = message(folder, tmp_path / "out")
  assert "b.parquet:1 has '2024-03-04 00:00:00+00:00', a.parquet:1" in found
  report = log_files.prepare(folder, tmp_path / "out", timezone="UTC")
  assert report["times"]["read_as"] == [
      "with an offset", "without an offset, read as UTC",
  ]


_OPTIONS = {
    "split_time": [
        (
            "soon",
            "--split_time 'soon' is not a time; write it as 2019-12-15 or"
            " 2019-12-15T06:00:00+08:00.",
        ),
        (
            "2020-01-01",
            "--split_time 2020-01-01: no event is before it, so train is empty."
            " The log runs from 2024-03-04T00:00:00Z to 2024-03-04T00:19:00Z"
            ". Choose a time inside.",
        ),
        (
            "2024-03-05",
            "--split_time 2024-03-05: no event is at or after it, so test is"
            " empty. The log runs from 2024-03-04T00:00:00Z to"
            " 2024-03-04T00:19:00Z. Choose a time inside.",
        ),
    ],
    "user_fraction": [
        (1.5, "--user_fraction 1.5 must be at least 0 and below 1."),
        (
            1e-9,
            "--user_fraction 1e-09: no user is held out, there are too few of"
            " them. Raise it, change --seed, or leave the flag out.",
        ),
    ],
    "max_bad_fraction": [
        (-0.1, "--max_bad_fraction -0.1 must be between 0 and 1.")
    ],
    "unit": [("week", "--unit 'week' is unknown; use user_day or user.")],
    "timezone": [
        (
            "Asia/Shangri-La",
            "--timezone 'Asia/Shangri-La' is unknown; use an IANA name, for"
            " example UTC or Asia/Shanghai.",
        )
    ],
    "time_unit": [
        ("h", "--time_unit 'h' is unknown; use auto, s, ms, us, ns.")
    ],
    "log_format": [
        (
            "xml",
            "--format 'xml' is unknown; there are\n" + formats.describe(),
        )
    ],
    "encoding": [
        (
            "klingon",
            "--encoding 'klingon' is unknown; use utf-8, gbk, latin-1, utf-16"
            " or another name that Python knows.",
        )
    ],
    "columns": [
        (
            {"event_id": "action"},
            "log.csv: --columns says event_id=action, but there is no column"
            " 'action'. Its columns: 'user_id', 'event_id', 'design_id',"
            " 'timestamp'.",
        )
    ],
}


@pytest.mark.parametrize(
    ("option", "value", "want"),
    [(name, *case) for name, cases in _OPTIONS.items() for case in cases],
)
def test_the_message_for_the_option(tmp_path, option, value, want):
  log = write(tmp_path, "log.csv", _HEAD + _GOOD)
  found = message(log, tmp_path / "out", **{option: value})
  assert found == want

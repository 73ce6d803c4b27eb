import json

import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.logs import formats
from behavior_lm.logs.readers import sources
from tests.logs.formats import reading

_TEXT = {
    "csv": "user_id,event_id,timestamp,lvl\nu,e,2024-03-04,7\n",
    "tsv": "user_id\tevent_id\ttimestamp\tlvl\nu\te\t2024-03-04\t7\n",
    "jsonl": json.dumps(
        {"user_id": "u", "event_id": "e", "timestamp": "2024-03-04", "lvl": 7}
    ),
}
_WANT = [("u", "e", "0", "2024-03-04T00:00:00Z", 7.0)]


@pytest.mark.parametrize("log_format", _TEXT)
def test_generic_formats_carry_extras(tmp_path, log_format):
  log = tmp_path / f"log.{log_format}"
  log.write_text(_TEXT[log_format])
  for name in ("auto", log_format):
    assert _WANT == reading.events(
        log, name, tmp_path, extras=("level",), columns={"level": "lvl"}
    )
  with pytest.raises(UserError, match="no column 'level'"):
    reading.events(log, "auto", tmp_path, extras=("level",))


def test_parquet_carries_extras_even_of_a_column_read_twice(tmp_path):
  log = tmp_path / "log.parquet"
  pl.DataFrame(
      {"user_id": ["u"], "event_id": [3], "timestamp": ["2024-03-04"]}
  ).write_parquet(log)
  found = reading.events(
      log, "auto", tmp_path, extras=("again",), columns={"again": "event_id"}
  )
  assert found == [("u", "3", "0", "2024-03-04T00:00:00Z", 3.0)]


def test_an_array_reads_like_lines(tmp_path):
  log = tmp_path / "log.json"
  log.write_text(f"[{_TEXT['jsonl']},\n{_TEXT['jsonl']}]")
  assert 2 * _WANT == reading.events(
      log, "auto", tmp_path, extras=("level",), columns={"level": "lvl"}
  )


def test_an_unknown_format_lists_them_all(tmp_path):
  with pytest.raises(UserError) as caught:
    sources.find_sources(str(tmp_path), "taobaoo")
  lines = str(caught.value).splitlines()
  assert lines[0] == "--format 'taobaoo' is unknown; there are"
  names = [line.split()[0] for line in lines[1:]]
  assert names == ["auto", "csv", "tsv", "jsonl", "parquet", *formats.FORMATS]
  assert all(len(line) <= 80 for line in lines)


def test_every_format_says_what_it_is():
  for name, found in formats.FORMATS.items():
    assert found.summary and found.files, name
    # A folder is searched by small letters.
    assert [p.lower() for p in found.files] == list(found.files), name


def test_a_folder_without_such_files_says_what_they_are_called(tmp_path):
  reading.write(tmp_path / "items.csv", "item_id")
  with pytest.raises(UserError, match=r"no file for --format recbole \(\*\.in"):
    sources.find_sources(str(tmp_path), "recbole")


def test_a_parquet_file_is_no_text_format(tmp_path):
  log = tmp_path / "UserBehavior.csv"
  pl.DataFrame({"a": [1]}).write_parquet(log)
  with pytest.raises(UserError, match="is a Parquet file, but its --format"):
    sources.find_sources(str(log), "taobao")


_NUMBERS = "\t".join(["1", *map(str, range(13))])
_CRITEO = [
    _NUMBERS + "\t" + "\t".join(f"{row}{n:x}" for n in range(26))
    for row in range(2)
]
_LOGS = {
    "taobao": ["7,2001,88,pv,1511658000", "7,2002,9,buy,1511658300"],
    "tianchi": [
        "user_id,item_id,behavior_type,user_geohash,item_category,time",
        "11,501,1,,77,2014-12-06 02",
        "11,502,4,9q,78,2014-12-06 03",
    ],
    "recbole": [
        "user_id:token\titem_id:token\ttimestamp:float",
        "5\t88\t881250949",
        "5\t89\t881250950",
    ],
    "amazon": [
        '{"reviewerID":"A","asin":"B","overall":4.0,"unixReviewTime":1441324800}',
        '{"reviewerID":"A","asin":"C","overall":5.0,"unixReviewTime":1441324801}',
    ],
    "criteo": _CRITEO,
    "sasrec": ["1 17", "1 4", "2 17"],
    "justice_words": [
        "u_2019-03-26:1#0#2019-03-26-06:18:12 2#3#2019-03-26-06:18:13",
        "u_2019-03-27:1#0#2019-03-27-06:18:12 2#3#2019-03-27-06:18:13",
    ],
    "justice_level": [
        "2019-12-04 00:34:58#085#400587#0",
        "2019-12-04 01:23:25#086#400027#161",
    ],
    "justice_json": [
        '[{"log_id":"1","role_grade":"012","timestamp":"2019-08-14 20:20:01"},',
        ' {"log_id":"2","design_id":"3","timestamp":"2019-08-14 20:20:04"}]',
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("log_format", _LOGS)
def test_a_log_that_ends_anywhere_loses_its_end_alone(tmp_path, log_format):
  log = tmp_path / "log"
  text = "\n".join(_LOGS[log_format]) + "\n"
  log.write_text(text)
  whole = reading.events(log, log_format, tmp_path)
  seen = set()
  # The first line of Criteo says by its fields whether there is a label.
  begin = text.find("\n") if log_format == "criteo" else 0
  for cut in range(begin, len(text)):
    log.write_text(text[:cut])
    try:
      found, bad = reading.read(log, log_format, tmp_path)
    except UserError:
      assert cut <= text.find("\n") and seen <= {0}, "only in the header"
      continue
    rows = reading.as_rows(found)
    # Of the last event itself, a part may look like a whole one.
    assert rows[:-1] == whole[: len(rows[:-1])]
    assert len(bad) <= 1
    seen.add(len(rows))
  assert max(seen) == len(whole)

import csv
import gzip
import io

from hypothesis import given
from hypothesis import strategies as st
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.logs.readers import columns
from behavior_lm.logs.readers import delimited
from behavior_lm.logs.readers import quarantine
from behavior_lm.logs.readers import sources
from behavior_lm.logs.readers import text_lines
from tests.logs.support import log_files

_NAMES = ["user_id", "event_id", "design_id", "timestamp"]
_HEAD = b"user_id,event_id,design_id,timestamp\n"


def read(folder, content, encoding="utf-8", name="log.csv", chunk=None):
  """Rows as (line, user, event, design, time) and (line, reason)."""
  path = folder / name
  path.write_bytes(content)
  rejected = quarantine.Quarantine(folder / "quarantine.jsonl")
  [source] = sources.find_sources(str(path)).files
  frames = list(delimited.read_delimited(source, {}, encoding, rejected))
  rejected.close()
  rows = [row for frame in frames for row in frame.iter_rows()]
  text = (folder / "quarantine.jsonl").read_text()
  bad = pl.read_ndjson(io.StringIO(text)) if text else pl.DataFrame()
  reasons = list(bad.select("row", "reason").iter_rows()) if text else []
  return rows, sorted(reasons)


_TEXT = st.text(
    st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]),
    max_size=6,
)


@given(
    st.lists(st.tuples(_TEXT, _TEXT, _TEXT, _TEXT), max_size=30),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([",", "\t", ";", "|"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from([7, 64, 1 << 20]),
)
def test_whatever_the_csv_module_writes_is_read(
    tmp_path_factory, rows, ending, separator, quoting, chunk_bytes
):
  buffer = io.StringIO()
  writer = csv.writer(
      buffer, delimiter=separator, quoting=quoting, lineterminator=ending
  )
  writer.writerows([_NAMES, *rows])
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(text_lines, "CHUNK_BYTES", chunk_bytes)
    folder = tmp_path_factory.mktemp("csv")
    found, bad = read(folder, buffer.getvalue().encode())
  assert bad == []
  # An empty field is null or "": both mean that there is nothing.
  got = [tuple(value or "" for value in row[1:]) for row in found]
  assert got == rows


@given(
    st.lists(st.sampled_from([
        "u,e,d,t", '"u",e,d,t', '"u\nv",e,d,t', '"u,v",e,d,t', "u,e,,t",
        "", "u,e", "u,e,d,t,more", 'u,"e,d,t', 'u,e"e,d,t', '"u"x,e,d,t',
    ]), max_size=40),
    st.sampled_from([16, 100, 1 << 20]),
)  # fmt: skip
def test_a_bad_line_costs_itself_alone(tmp_path_factory, lines, chunk_bytes):
  """Quotes that are opened and not closed must not eat their neighbours."""
  content = _HEAD + "".join(line + "\n" for line in lines).encode()
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(text_lines, "CHUNK_BYTES", chunk_bytes)
    rows, bad = read(tmp_path_factory.mktemp("csv"), content)
  wrong = {
      "u,e": quarantine.FIELD_COUNT,
      "u,e,d,t,more": quarantine.FIELD_COUNT,
      'u,"e,d,t': quarantine.BROKEN_QUOTES,
      '"u"x,e,d,t': quarantine.BROKEN_QUOTES,
  }
  number, want_rows, want_bad = 2, [], []
  for line in lines:
    if line in wrong:
      want_bad.append((number, wrong[line]))
    elif line:
      want_rows.append(number)
    number += 1 + line.count("\n")
  assert bad == want_bad
  assert [row[0] for row in rows] == want_rows


def test_a_row_over_several_lines_is_read_across_chunks(tmp_path, monkeypatch):
  monkeypatch.setattr(text_lines, "CHUNK_BYTES", 50)
  content = _HEAD + b'u,"one\ntwo\nthree",d,t\nv,e,d,t\n' * 20
  rows, bad = read(tmp_path, content)
  assert bad == []
  assert [row[0] for row in rows[:4]] == [2, 5, 6, 9]
  assert {row[2] for row in rows} == {"one\ntwo\nthree", "e"}
  assert len(rows) == 40


@pytest.mark.parametrize(
    ("tail", "want"),
    [
        (b"u,e,d", [(3, quarantine.CUT_OFF)]),
        (b'u,"e', [(3, quarantine.CUT_OFF)]),
        (b"u,e,d,t", []),
        (b"u,e,d\n", [(3, quarantine.FIELD_COUNT)]),
    ],
)
def test_a_cut_off_last_row_is_rejected(tmp_path, tail, want):
  rows, bad = read(tmp_path, _HEAD + b"u,e,d,t\n" + tail)
  assert bad == want
  assert len(rows) == 2 - len(want)


def test_lines_that_are_no_text_are_rejected_with_their_number(tmp_path):
  rows, bad = read(
      tmp_path,
      _HEAD + b"u,e,d,t\nu,\xff,d,t\n\nu,a\0b,d,t\nu,\xc3\xa9,d,t\n",
  )
  assert bad == [(3, quarantine.BAD_ENCODING), (5, quarantine.NUL_BYTE)]
  assert [(row[0], row[2]) for row in rows] == [(2, "e"), (6, "é")]


@pytest.mark.parametrize("encoding", ["gbk", "latin-1", "utf-16", "utf-8-sig"])
def test_other_encodings_are_read(tmp_path, encoding):
  word = "é" if encoding == "latin-1" else "登录"
  content = (_HEAD.decode() + f"u,{word},d,t\n" * 3).encode(encoding)
  rows, bad = read(tmp_path, content, encoding)
  assert bad == []
  assert [row[2] for row in rows] == [word] * 3


def test_a_bad_line_of_another_encoding_is_rejected(tmp_path):
  content = _HEAD + "u,登录,d,t\n".encode("gbk") + b"u,\xff\xff,d,t\n"
  rows, bad = read(tmp_path, content, "gbk")
  assert bad == [(3, quarantine.BAD_ENCODING)]
  assert [row[2] for row in rows] == ["登录"]


def test_a_byte_order_mark_is_not_part_of_the_first_name(tmp_path):
  rows, _ = read(tmp_path, b"\xef\xbb\xbf" + _HEAD + b"u,e,d,t\n")
  assert rows == [(2, "u", "e", "d", "t")]


def test_gzip_is_unpacked_whatever_the_file_is_called(tmp_path):
  content = gzip.compress(_HEAD + b"u,e,d,t\n")
  for name in ("log.csv.gz", "log.csv"):
    assert read(tmp_path, content, name=name)[0] == [(2, "u", "e", "d", "t")]


def test_columns_are_found_by_name_in_any_order(tmp_path):
  rows, _ = read(
      tmp_path, b'timestamp , level,"event_id",user_id\nt,9,e,u\n'
  )
  assert rows == [(2, "u", "e", None, "t")]


def test_many_bad_lines_do_not_take_many_times_as_long(tmp_path):
  # Each was once decoded together with all that follow it.
  content = _HEAD + b"u,\xff,d,t\n" * 20_000 + b"u,e,d,t\n"
  rows, bad = read(tmp_path, content)
  assert len(bad) == 20_000
  assert rows == [(20_002, "u", "e", "d", "t")]


def test_a_log_of_good_rows_survives_a_stray_quote(tmp_path):
  lines = log_files.good_rows(5_000)
  lines[100] = '"' + lines[100]
  path = log_files.write_csv(tmp_path / "a.csv", lines)
  rows, bad = read(tmp_path, path.read_bytes())
  assert bad == [(102, quarantine.BROKEN_QUOTES)]
  assert len(rows) == 4_999


def test_a_file_without_a_header_is_given_its_names(tmp_path):
  path = tmp_path / "log.csv"
  path.write_bytes(b'"a|x"|e|d|3|7\nb|e|d|4|\n')
  rejected = quarantine.Quarantine(tmp_path / "quarantine.jsonl")
  [source] = sources.find_sources(str(path)).files
  [frame] = delimited.read_delimited(
      source,
      {"level": "lvl"},
      "utf-8",
      rejected,
      ("level",),
      names=[*_NAMES, "lvl"],
      separator="|",
  )
  rejected.close()
  assert frame.rows() == [
      (1, "a|x", "e", "d", "3", "7"), (2, "b", "e", "d", "4", None)
  ]  # fmt: skip


def test_extras_of_rows_over_several_lines_are_read(tmp_path):
  path = tmp_path / "log.csv"
  path.write_bytes(_HEAD[:-1] + b',level\nu,"a\nb",d,3,7\nu,e,d,4,8\n')
  rejected = quarantine.Quarantine(tmp_path / "quarantine.jsonl")
  [source] = sources.find_sources(str(path)).files
  frames = delimited.read_delimited(source, {}, "utf-8", rejected, ("level",))
  found = pl.concat(frames)
  rejected.close()
  assert found["event_id"].to_list() == ["a\nb", "e"]
  assert found["level"].to_list() == ["7", "8"]


def test_a_header_line_with_broken_quotes_is_named(tmp_path):
  (tmp_path / "a.csv").write_text('user_id,event_id,"time\nstamp"\nu,e,1\n')
  with pytest.raises(UserError, match="a.csv: the quotes of the header line"):
    log_files.prepare(tmp_path / "a.csv", tmp_path / "out")


@pytest.mark.parametrize(
    ("first", "options"),
    [
        ("sep=;\nuser_id;event_id;timestamp\n", {}),
        ('"sep=;"\r\nuser_id;event_id;timestamp\n', {}),
        ("user_id;event_id;timestamp;;\n", {}),
        ("", {"header": ("user_id", "event_id", "timestamp")}),
        (
            'user_id;event_id;"Time, UTC"\n',
            {"columns": columns.parse_columns('timestamp="Time, UTC"')},
        ),
        ("\n\nuser_id;event_id;timestamp\n", {}),
        ("user_id;event_id;timestamp;a;a b\n", {}),
    ],
)
def test_first_lines_as_spreadsheets_and_programs_write_them(
    tmp_path, first, options
):
  line = first.strip().split("\n")[-1]
  more = ";" * max(line.count(";") - 2, 0)
  text = first + f"u;e;2024-03-04{more}\n" * 3
  (tmp_path / "a.csv").write_text(text)
  report = log_files.prepare(tmp_path / "a.csv", tmp_path / "out", **options)
  assert (report["num_events"], report["rejected"]["rows"]) == (3, 0)

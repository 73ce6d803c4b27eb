import bz2
import gzip
import lzma
import os
import random

import polars as pl
import pyarrow as pa
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.logs.readers import sources
from tests.logs.support import log_files


def names(logs, log_format="auto"):
  return [s.name for s in sources.find_sources(str(logs), log_format).files]


@pytest.fixture
def folder(tmp_path):
  root = tmp_path / "logs"
  for name in ("day=2/b.csv", "day=1/a.csv.gz", "c.CSV"):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    log_files.write_csv(path, [log_files.row()])
    if name.endswith(".gz"):
      path.write_bytes(gzip.compress(path.read_bytes()))
  for name in ("_SUCCESS", ".part.csv", "README.md", "_tmp/x.csv"):
    path = root / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("not a log\n")
  return root


def test_a_folder_gives_its_logs_sorted_and_nothing_else(folder):
  assert names(folder) == ["c.CSV", "day=1/a.csv.gz", "day=2/b.csv"]


def test_a_pattern_gives_what_it_matches(folder):
  assert names(folder / "day=*" / "*.csv*") == ["day=1/a.csv.gz", "day=2/b.csv"]
  assert names(folder / "**" / "b.csv") == ["b.csv"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path):
  path = log_files.write_csv(tmp_path / "a[1].csv", [log_files.row()])
  assert names(path) == ["a[1].csv"]


def test_datasets_inside_of_a_folder_of_logs_are_no_logs(folder):
  log_files.prepare(folder, folder / "out")
  assert names(folder) == ["c.CSV", "day=1/a.csv.gz", "day=2/b.csv"]


def test_a_format_chooses_among_the_files_of_a_folder(folder):
  log_files.event_frame([("u", "e", None, 0)]).write_parquet(
      folder / "x.parquet"
  )
  assert names(folder, "parquet") == ["x.parquet"]
  assert len(names(folder, "csv")) == 3


def test_parquet_is_recognised_whatever_its_name(tmp_path):
  log_files.event_frame([("u", "e", None, 0)]).write_parquet(tmp_path / "log")
  [source] = sources.find_sources(str(tmp_path / "log")).files
  assert source.format == "parquet"


def test_a_name_that_is_no_utf8_can_be_written_down(tmp_path):
  path = os.path.join(os.fsencode(tmp_path), b"log-\xff.csv")
  with open(path, "wb") as file:
    file.write(b"user_id,event_id,timestamp\nu,e,2024-03-04\n")
  report = log_files.prepare(tmp_path, tmp_path / "out")
  assert [source["name"] for source in report["sources"]] == [r"log-\xff.csv"]


@pytest.mark.parametrize(
    ("logs", "message"),
    [
        ("nothing.csv", "--logs {}/nothing.csv: no such file or folder."),
        ("*.xyz", "--logs {}/*.xyz: no file matches this pattern."),
        (
            "empty",
            "--logs {}/empty: the folder holds no csv, tsv, jsonl, parquet"
            " files.",
        ),
        (
            "log.txt",
            "{}/log.txt: cannot tell the format from the name; pass --format"
            " with one of csv, tsv, jsonl, parquet, or a name that"
            " --list_formats shows.",
        ),
        (
            "parquet.csv",
            "{}/parquet.csv: is a Parquet file, but its name says csv. Rename"
            " it to .parquet or pass --format parquet.",
        ),
        (
            "mixed",
            "--logs {}/mixed: holds files of different formats: csv (a.csv),"
            " jsonl (b.jsonl). Choose one with --format, or pass a pattern such"
            " as '*.parquet'.",
        ),
        ("pipe.csv", "{}/pipe.csv: is not a regular file."),
    ],
)
def test_what_is_no_log_is_refused(tmp_path, logs, message):
  (tmp_path / "empty").mkdir()
  (tmp_path / "log.txt").write_text("a,b\n")
  (tmp_path / "parquet.csv").write_bytes(b"PAR1....")
  (tmp_path / "mixed").mkdir()
  (tmp_path / "mixed" / "a.csv").write_text("a\n")
  (tmp_path / "mixed" / "b.jsonl").write_text("{}\n")
  os.mkfifo(tmp_path / "pipe.csv")
  with pytest.raises(UserError) as caught:
    names(tmp_path / logs)
  assert str(caught.value) == message.format(tmp_path)


_TEXT = b"user_id,event_id,timestamp\nu,e,2024-03-04\n"
_JSON = b'{"user_id":"u","event_id":"e","timestamp":"2024-03-04"}\n'


def zstd(data):
  return pa.compress(data, codec="zstd", asbytes=True)


def lz4(data):
  return pa.compress(data, codec="lz4", asbytes=True)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("b.csv.bz2", bz2.compress(_TEXT)),
        ("b.csv.xz", lzma.compress(_TEXT)),
        ("b.csv.zst", zstd(_TEXT)),
        ("b.csv.lz4", lz4(_TEXT)),
        ("b.csv.gz", gzip.compress(_TEXT)),
        ("b.CSV.GZ", gzip.compress(_TEXT[:20]) + gzip.compress(_TEXT[20:])),
        ("b.csv.zst", zstd(_TEXT[:20]) + zstd(_TEXT[20:])),
        ("b.csv", zstd(_TEXT)),  # The bytes count, not the name.
        ("b.csv.1", _TEXT),
        ("b.csv.2024-06-01", _TEXT),
        ("b.csv.2.gz", gzip.compress(_TEXT)),
        ("part-00002", _TEXT),
        ("part-00002.bz2", bz2.compress(_TEXT)),
    ],
    # gzip writes the time of day: both workers must find the same tests.
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_part_of_a_log_is_read(tmp_path, name, content):
  folder = tmp_path / "logs"
  folder.mkdir()
  (folder / "a.csv").write_bytes(_TEXT)
  (folder / name).write_bytes(content)
  report = log_files.prepare(folder, tmp_path / "out")
  assert report["rows"] == 2
  assert report["not_read"] == {}


@pytest.mark.parametrize(
    ("name", "content", "log_format", "reason"),
    [
        ("b.csv.zip", b"PK", "auto", "an archive; unpack it"),
        ("b.tar", b"", "auto", "an archive; unpack it"),
        ("README.md", b"x", "auto", "ends in .md, which tells no format"),
        ("part-1", b"x,y\n1,2", "auto", "neither its name nor its first line"),
        ("b.jsonl", _JSON, "csv", "jsonl, while --format is csv"),
        ("b.parquet", b"", "auto", "empty (0 bytes)"),
        ("x/y.avro", b"Obj", "auto", "ends in .avro, which tells no format"),
    ],
)
def test_what_is_not_read_is_in_the_report(
    tmp_path, name, content, log_format, reason
):
  folder = tmp_path / "logs"
  (folder / name).parent.mkdir(parents=True)
  (folder / "a.csv").write_bytes(_TEXT)
  (folder / name).write_bytes(content)
  out = tmp_path / "out"
  report = log_files.prepare(folder, out, log_format=log_format)
  assert list(report["not_read"]) == [name]
  assert report["not_read"][name].startswith(reason)
  assert f"| {name} | {reason}" in (out / "report.md").read_text()


@pytest.mark.parametrize("packed", [bz2.compress, lzma.compress, zstd, lz4])
def test_a_packed_file_that_is_cut_off_is_an_error(tmp_path, packed):
  data = packed(random.Random(0).randbytes(5_000).hex().encode())
  (tmp_path / "a.csv").write_bytes(data[:-100])
  with pytest.raises(UserError, match=r"file is (cut off|damaged)"):
    log_files.prepare(tmp_path / "a.csv", tmp_path / "out")


def test_a_pattern_reads_the_folders_that_it_matches(folder):
  assert names(folder / "day=*") == ["day=1/a.csv.gz", "day=2/b.csv"]


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_columns_that_folders_state(tmp_path, kind):
  times = [f"2024-03-04 00:00:0{i}" for i in range(3)]
  for event, some in (("log%20in", times[:2]), ("quit", times[2:])):
    path = tmp_path / "log" / f"event_id={event}" / f"a.{kind}"
    path.parent.mkdir(parents=True)
    frame = pl.DataFrame({"user_id": ["u"] * len(some), "timestamp": some})
    write = {
        "parquet": frame.write_parquet,
        "csv": frame.write_csv,
        "jsonl": frame.write_ndjson,
    }[kind]
    write(path)
  dataset = log_files.prepared(tmp_path / "log", tmp_path / "out")
  events = log_files.events_of(dataset)["event_id"].to_list()
  assert events == ["log in", "log in", "quit"]
  # One of the folders, or a file in it, is as good.
  [source] = sources.find_sources(str(path)).files
  assert source.folder_values == {"event_id": "quit"}


def test_a_format_that_does_not_exist_is_refused(tmp_path):
  with pytest.raises(UserError, match="'xml' is unknown; there are\n  auto"):
    names(tmp_path, "xml")


def test_the_hash_is_of_the_bytes(tmp_path):
  (tmp_path / "x").write_bytes(b"abc")
  assert sources.sha256(tmp_path / "x") == (
      "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
  )

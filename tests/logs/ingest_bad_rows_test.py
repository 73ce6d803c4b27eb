"""Rows that are rejected, and odd ones that are not."""

import datetime

import polars as pl
import pytest

from tests.logs.support import log_files

_HEAD = log_files.HEADER
_FUTURE = (
    datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=3)
).strftime("%Y-%m-%d %H:%M:%S")

# One bad row among good ones: its bytes and the reason.
_CSV_ROWS = {
    "no user": (",e,d,2024-03-04 00:00:00", "no user"),
    "a user of blanks": ("  ,e,d,2024-03-04 00:00:00", "no user"),
    "no event": ("u,,d,2024-03-04 00:00:00", "no event"),
    "no time": ("u,e,d,", "no time"),
    "a time that is none": ("u,e,d,yesterday", "unreadable time"),
    "a day that is none": ("u,e,d,2024-02-30 00:00:00", "unreadable time"),
    "a time before 1970": ("u,e,d,1969-12-31 23:59:59", "negative time"),
    "a time before 1990": ("u,e,d,1980-01-01 00:00:00", "time before 1990"),
    "a time in the future": (
        f"u,e,d,{_FUTURE}",
        "time more than 2 days in the future",
    ),
    "too few fields": ("u,e,2024-03-04 00:00:00", "wrong number of fields"),
    "too many fields": (
        "u,e,d,2024-03-04 00:00:00,x",
        "wrong number of fields",
    ),
    "a quote that is not closed": (
        'u,"e,d,2024-03-04 00:00:00',
        "broken quotes",
    ),
    "a name that is not UTF-8": (
        b"\xd3\xc3,e,d,2024-03-04 00:00:00",
        "invalid text encoding",
    ),
    "a NUL byte": ("u,e\0,d,2024-03-04 00:00:00", "NUL byte"),
}


@pytest.mark.parametrize("kind", _CSV_ROWS)
def test_a_bad_row_is_rejected_with_file_row_and_reason(tmp_path, kind):
  bad, reason = _CSV_ROWS[kind]
  rows = log_files.good_rows(200)
  log = log_files.write_csv(tmp_path / "a.csv", [*rows[:150], bad, *rows[150:]])
  dataset = log_files.prepared(log, tmp_path / "out")
  [found] = log_files.quarantined(dataset)
  assert (found["file"], found["row"], found["reason"]) == (
      "a.csv", 152, reason,
  )
  assert found["text"]
  assert dataset.meta["splits"]["train"]["num_events"] == 200
  assert dataset.meta["quarantined_rows"] == 1


@pytest.mark.parametrize("value", ["-1575417600", "99999999999", "12"])
def test_epoch_times_out_of_range_are_rejected(tmp_path, value):
  rows = [f"u,e,d,{1_575_417_600 + n}" for n in range(150)]
  log = log_files.write_csv(tmp_path / "a.csv", [*rows, f"u,e,d,{value}"])
  dataset = log_files.prepared(log, tmp_path / "out")
  reason = {
      "-1575417600": "negative time",
      "99999999999": "time more than 2 days in the future",
      "12": "time before 1990",
  }[value]
  assert log_files.reasons(dataset) == [(152, reason)]


def test_a_cut_off_last_row_is_rejected(tmp_path):
  log = log_files.write_csv(tmp_path / "a.csv", log_files.good_rows(200))
  with log.open("ab") as file:
    file.write(b"u1,e1,d1")
  dataset = log_files.prepared(log, tmp_path / "out")
  assert log_files.reasons(dataset) == [(202, "cut-off last row")]


def test_a_broken_json_line_is_rejected(tmp_path):
  line = '{"user_id":"u","event_id":"e","timestamp":"2024-03-04"}\n'
  (tmp_path / "a.jsonl").write_text(line * 150 + line[:20] + "\n" + line)
  dataset = log_files.prepared(tmp_path / "a.jsonl", tmp_path / "out")
  assert log_files.reasons(dataset) == [(151, "broken JSON")]


def test_bad_values_of_parquet_are_rejected(tmp_path):
  good = log_files.event_frame([("u", "e", None, n) for n in range(1_000)])
  bad = pl.DataFrame(
      {
          "user_id": [None, "u", "u", "u", "u"],
          "event_id": ["e", "", "e", "e", "e\0"],
          "design_id": ["d"] * 5,
          "timestamp": [
              log_files.at(0),
              log_files.at(0),
              None,
              datetime.datetime(1960, 1, 1, tzinfo=datetime.UTC),
              log_files.at(0),
          ],
      },
      schema=good.schema,
  )
  pl.concat([good, bad]).write_parquet(tmp_path / "a.parquet")
  dataset = log_files.prepared(tmp_path / "a.parquet", tmp_path / "out")
  assert log_files.reasons(dataset) == [
      (1001, "no user"),
      (1002, "no event"),
      (1003, "no time"),
      (1004, "negative time"),
      (1005, "NUL byte"),
  ]


def test_rows_of_the_second_file_are_counted_from_its_own_start(tmp_path):
  for name in ("a.csv", "b.csv"):
    log_files.write_csv(tmp_path / name, log_files.good_rows(200))
  with (tmp_path / "b.csv").open("a") as file:
    file.write(",e,d,2024-03-04 00:00:00\n")
  dataset = log_files.prepared(tmp_path, tmp_path / "out")
  [found] = log_files.quarantined(dataset)
  assert (found["file"], found["row"]) == ("b.csv", 202)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
@pytest.mark.parametrize("end", [True, False])
def test_marks_and_line_ends_change_nothing(tmp_path, mark, ending, end):
  lines = [_HEAD, log_files.row("é", 'a"b', "x", 1), log_files.row(seconds=2)]
  content = mark + ending.join(line.encode() for line in lines)
  (tmp_path / "a.csv").write_bytes(content + ending * end)
  dataset = log_files.prepared(tmp_path / "a.csv", tmp_path / "out")
  events = log_files.events_of(dataset).sort("timestamp")
  assert events.select("user_id", "event_id").rows() == [
      ("é", 'a"b'), ("u1", "e1"),
  ]
  assert dataset.meta["quarantined_rows"] == 0


def test_quoted_separators_and_line_feeds_are_part_of_a_value(tmp_path):
  rows = ['"a, b","x ""y""",d,2024-03-04', '"two\nlines",e,"",2024-03-04']
  log = log_files.write_csv(tmp_path / "a.csv", rows)
  events = log_files.events_of(log_files.prepared(log, tmp_path / "out"))
  found = events.sort("user_id").select("user_id", "event_id", "design_id")
  assert found.rows() == [("a, b", 'x "y"', "d"), ("two\nlines", "e", "0")]


def test_numbers_as_ids_and_missing_designs(tmp_path):
  pl.DataFrame({
      "uid": [7, 7, 7],
      "action": [1.0, 2.0, 1.0],
      "item": [5, None, 6],
      "ts": [1_575_417_600_000, 1_575_417_600_001, 1_575_417_600_002],
  }).write_parquet(tmp_path / "a.parquet")
  dataset = log_files.prepared(
      tmp_path / "a.parquet",
      tmp_path / "out",
      columns={
          "user_id": "uid",
          "event_id": "action",
          "design_id": "item",
          "timestamp": "ts",
      },
  )
  events = log_files.events_of(dataset)
  assert events.select("user_id", "event_id", "design_id").rows() == [
      ("7", "1", "5"), ("7", "2", "0"), ("7", "1", "6"),
  ]
  assert str(events["timestamp"][1]) == "2019-12-04 00:00:00.001000+00:00"
  assert dataset.meta["columns"]["user_id"] == "uid"


def test_a_log_without_designs_has_no_design_anywhere(tmp_path):
  log = log_files.write_csv(
      tmp_path / "a.csv", ["u,e,2024-03-04"], "user_id,event_id,timestamp"
  )
  dataset = log_files.prepared(log, tmp_path / "out")
  assert dataset.pairs.rows() == [("e", "0", 1)]


def test_ids_are_kept_as_they_are_written(tmp_path):
  ids = ["ai", "Item_Garden", "+44703335", "007", " x", "1e5", "null", "-0"]
  rows = [log_files.row(event=id_, seconds=n) for n, id_ in enumerate(ids)]
  log = log_files.write_csv(tmp_path / "a.csv", rows)
  events = log_files.events_of(log_files.prepared(log, tmp_path / "out"))
  assert events["event_id"].to_list() == ids

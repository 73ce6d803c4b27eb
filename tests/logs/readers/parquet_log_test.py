import datetime

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.logs.readers import parquet_log
from behavior_lm.logs.readers import quarantine
from behavior_lm.logs.readers import sources
from tests.logs.support import log_files

_TIME = datetime.datetime(2024, 3, 4)


def read(path, mapping=None):
  [source] = sources.find_sources(str(path)).files
  return list(parquet_log.read_parquet(source, mapping or {}))


def write(path, **columns):
  pl.DataFrame(
      {"user_id": ["u"], "event_id": ["e"], "timestamp": [_TIME]} | columns
  ).write_parquet(path)
  return path


@pytest.mark.parametrize(
    ("values", "want"),
    [
        ([1, None, -3], ["1", None, "-3"]),
        ([1.0, None, 3.0], ["1", None, "3"]),
        ([1.5, None, 3.0], ["1.5", None, "3"]),
        ([True, None, False], ["true", None, "false"]),
        (pl.Series(["a", None, "b"], dtype=pl.Categorical), ["a", None, "b"]),
        ([b"a", None, b"b"], ["a", None, "b"]),
        (["a", None, ""], ["a", None, ""]),
        ([None, None, None], [None, None, None]),
    ],
)
def test_ids_of_any_plain_type_become_text(tmp_path, values, want):
  path = tmp_path / "log.parquet"
  pl.DataFrame({
      "user_id": values,
      "event_id": ["e"] * 3,
      "timestamp": [_TIME] * 3,
  }).write_parquet(path)
  [batch] = read(path)
  assert batch["user_id"].to_list() == want
  assert batch["design_id"].to_list() == [None] * 3
  assert batch["row"].to_list() == [1, 2, 3]


@pytest.mark.parametrize(
    ("values", "want"),
    [
        (pa.array(["1.50", "-0.00"]).cast(pa.decimal256(50, 2)), ["1.5", "0"]),
        (
            pa.ExtensionArray.from_storage(
                pa.uuid(), pa.array([bytes(15) + b"\5", None], pa.binary(16))
            ),
            ["00000000-0000-0000-0000-000000000005", None],
        ),
        (pa.array([1.0, 2.5]).dictionary_encode(), ["1", "2.5"]),
        (pa.array([datetime.date(2024, 6, 1), None]), ["2024-06-01", None]),
    ],
)
def test_ids_of_rare_types_become_text(tmp_path, values, want):
  table = pa.table({
      "user_id": values, "event_id": ["e"] * 2, "timestamp": [_TIME] * 2
  })  # fmt: skip
  pq.write_table(table, tmp_path / "log.parquet")
  [batch] = read(tmp_path / "log.parquet")
  assert batch["user_id"].to_list() == want


def test_a_decimal_with_too_many_digits_is_refused(tmp_path):
  values = pa.array(["9" * 45 + ".5"]).cast(pa.decimal256(50, 2))
  table = pa.table({
      "user_id": values, "event_id": ["e"], "timestamp": [_TIME]
  })  # fmt: skip
  pq.write_table(table, tmp_path / "log.parquet")
  with pytest.raises(UserError, match="'user_id' has numbers of more than 38"):
    read(tmp_path / "log.parquet")


@pytest.mark.parametrize("kind", [pa.binary(), pa.string(), pa.large_string()])
def test_bytes_that_are_no_text_are_rejected(tmp_path, kind):
  data = pa.array([b"ok", b"\xff\xfe", None], pa.binary())
  column = data.cast(pa.large_binary()) if kind == pa.large_string() else data
  table = pa.table({
      "user_id": column.view(kind),
      "event_id": ["e"] * 3,
      "timestamp": [_TIME] * 3,
  })
  pq.write_table(table, tmp_path / "log.parquet")
  [batch] = read(tmp_path / "log.parquet")
  assert batch["user_id"].to_list() == ["ok", None, None]
  assert batch["why"].to_list() == [None, quarantine.BAD_ENCODING, None]


def test_a_large_row_group_comes_in_batches(tmp_path, monkeypatch):
  monkeypatch.setattr(parquet_log, "BATCH_ROWS", 100)
  frame = log_files.event_frame([("u", "e", None, n) for n in range(250)])
  frame.write_parquet(tmp_path / "log.parquet", row_group_size=250)
  batches = read(tmp_path / "log.parquet")
  assert [batch.height for batch in batches] == [100, 100, 50]
  rows = pl.concat(batches)
  assert rows["row"].to_list() == list(range(1, 251))
  assert rows["timestamp"].to_list() == frame["timestamp"].to_list()


def test_other_columns_are_not_read(tmp_path):
  path = write(tmp_path / "log.parquet", level=[7], tags=[[1, 2]])
  [batch] = read(path)
  assert set(batch.columns) == {
      "row", "user_id", "event_id", "design_id", "timestamp",
  }


def test_a_mapping_renames_columns_even_with_dots(tmp_path):
  pl.DataFrame({
      "user.id": [1], "action": ["e"], "ts": [_TIME], "item": [None],
  }).write_parquet(tmp_path / "log.parquet")  # fmt: skip
  [batch] = read(
      tmp_path / "log.parquet",
      {
          "user_id": "user.id",
          "event_id": "action",
          "timestamp": "ts",
          "design_id": "item",
      },
  )
  assert batch.row(0) == (1, "1", "e", None, _TIME)


@pytest.mark.parametrize("values", [[[1, 2]], [{"a": 1}], [_TIME]])
def test_a_column_that_is_no_id_is_refused(tmp_path, values):
  path = write(tmp_path / "log.parquet", event_id=values)
  with pytest.raises(UserError, match="log.parquet: column 'event_id' is of"):
    read(path)


@pytest.mark.parametrize("keep", [9_000, 1_000, 10])
def test_a_cut_off_file_is_named(tmp_path, keep):
  path = tmp_path / "log.parquet"
  log_files.event_frame(
      [("u", str(n * n), None, n) for n in range(3_000)]
  ).write_parquet(path)
  whole = path.read_bytes()
  assert len(whole) > 9_000
  path.write_bytes(whole[:keep])
  with pytest.raises(UserError) as caught:
    read(path)
  assert str(caught.value) == (
      f"{path}: is a Parquet file that was cut off or damaged. Copy it again."
  )


def test_a_column_whose_name_is_no_text_is_damage(tmp_path):
  path = tmp_path / "log.parquet"
  log_files.event_frame([("u", "e", None, 0)]).with_columns(
      zzz=pl.lit(1)
  ).write_parquet(path)
  path.write_bytes(path.read_bytes().replace(b"zzz", b"z\xffz"))
  with pytest.raises(UserError, match="cut off or damaged"):
    read(path)


def test_a_damaged_page_is_named_with_its_row(tmp_path):
  path = tmp_path / "log.parquet"
  log_files.event_frame(
      [("u", str(n * n), None, n) for n in range(3_000)]
  ).write_parquet(path)
  content = bytearray(path.read_bytes())
  content[4:2_000] = bytes(1_996)
  path.write_bytes(content)
  with pytest.raises(UserError, match=r"damaged Parquet file, row 1 and after"):
    read(path)


def test_a_text_file_called_parquet_is_refused(tmp_path):
  path = log_files.write_csv(tmp_path / "log.parquet", [log_files.row()])
  with pytest.raises(UserError) as caught:
    read(path)
  assert str(caught.value) == (
      f"{path}: is not a Parquet file. Pass the right --format or the right"
      " file."
  )


def test_extras_are_yielded_as_they_are(tmp_path):
  path = write(tmp_path / "log.parquet", lvl=[7], other=[b"x"])
  [source] = sources.find_sources(str(path)).files
  [frame] = parquet_log.read_parquet(source, {"level": "lvl"}, ("level",))
  assert frame["level"].to_list() == [7]
  assert "other" not in frame.columns
  with pytest.raises(UserError, match="no column 'price'"):
    list(parquet_log.read_parquet(source, {}, ("price",)))


def test_an_extra_that_is_no_text_rejects_its_row(tmp_path):
  path = write(tmp_path / "log.parquet", level=[b"\xff"])
  [source] = sources.find_sources(str(path)).files
  [frame] = parquet_log.read_parquet(source, {}, ("level",))
  assert frame["why"].to_list() == [quarantine.BAD_ENCODING]


def test_a_column_of_durations_is_no_time(tmp_path):
  path = write(tmp_path / "log.parquet", timestamp=[datetime.timedelta(1)])
  with pytest.raises(UserError, match="'timestamp' is of type Duration"):
    read(path)


@pytest.mark.parametrize(
    "zone", ["+05:30", "-03:00", "UTC", "Asia/Shanghai", "+00:00", "Etc/GMT+3"]
)
def test_a_time_with_any_zone_is_an_instant(tmp_path, zone):
  time = pa.array([1_717_200_000_000], pa.timestamp("ms", tz=zone))
  table = pa.table({"user_id": ["u"], "event_id": ["e"], "timestamp": time})
  pq.write_table(table, tmp_path / "log.parquet")
  [batch] = read(tmp_path / "log.parquet")
  assert batch["timestamp"].dt.epoch("s").to_list() == [1_717_200_000]
  assert batch.schema["timestamp"].time_zone == "UTC"


def test_int96_is_an_instant_whatever_the_zone(tmp_path):
  time = pa.array([1_717_200_000 * 10**9], pa.timestamp("ns"))
  table = pa.table({"user_id": ["u"], "event_id": ["e"], "timestamp": time})
  path = tmp_path / "log.parquet"
  pq.write_table(table, path, use_deprecated_int96_timestamps=True)
  report = log_files.prepare(path, tmp_path / "a", timezone="Asia/Shanghai")
  assert report["start"] == "2024-06-01T00:00:00Z"
  # The same numbers as another type are times on the clock of the zone.
  pq.write_table(table, path)
  report = log_files.prepare(path, tmp_path / "b", timezone="Asia/Shanghai")
  assert report["start"] == "2024-05-31T16:00:00Z"

import datetime

import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.reading import Reading
from behavior_lm.data.tokenizers.pair import PairTokenizer
from behavior_lm.inference.embedder import Embedder
from behavior_lm.inference.frames import cut_frame
from behavior_lm.inference.sequences import Reader
from tests.inference.fake_runs import make_run

READER = Reader(PairTokenizer(["a", "b", "c"], [("a", "1")]), Reading())
A, B, C, A1 = 5, 6, 7, 8
HOUR = 3_600_000_000
START = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


def frame_of(rows, **columns):
  """(user, event, design, hours after START)."""
  users, events, designs, hours = zip(*rows, strict=True)
  times = [START + datetime.timedelta(hours=h) for h in hours]
  return pl.DataFrame(
      {
          "user_id": users,
          "event_id": events,
          "design_id": designs,
          "timestamp": pl.Series(times, dtype=pl.Datetime("us", "UTC")),
      }
      | columns
  )


LOG = [
    ("zoe", "a", "1", 20),
    ("bob", "b", "0", 1),
    ("zoe", "b", None, 2),
    ("zoe", "c", "", 30),
    ("bob", "c", "9", 1),
    ("zoe", "a", "2", 2),
]


def cut(frame, **options):
  table, sequences = cut_frame(frame, READER, **options)
  return table, list(sequences)


def test_users_come_in_order_of_first_appearance_their_events_by_time():
  table, sequences = cut(frame_of(LOG))
  assert table["user_id"].to_list() == ["zoe", "bob"]
  assert table["num_events"].to_list() == [4, 2]
  assert table["start"].to_list() == [
      START + datetime.timedelta(hours=h) for h in (2, 1)
  ]
  # Ties keep the order of their rows.
  np.testing.assert_array_equal(sequences[0]["tokens"], [B, A, A1, C])
  np.testing.assert_array_equal(sequences[1]["tokens"], [B, C])
  gaps = [0, 18 * 36_000, 10 * 36_000, -1]
  np.testing.assert_array_equal(sequences[0]["time_gaps"], gaps)


def test_days_are_those_of_the_time_zone():
  table, sequences = cut(frame_of(LOG), unit="user_day")
  assert table["user_id"].to_list() == ["zoe", "zoe", "bob"]
  assert [len(s["tokens"]) for s in sequences] == [3, 1, 2]
  table, sequences = cut(
      frame_of(LOG), unit="user_day", timezone="America/New_York"
  )
  # 2:00 is still yesterday there; 20:00 and 30:00 are 15:00 and 1:00 later.
  got = [s["tokens"].tolist() for s in sequences]
  assert got == [[B, A], [A1], [C], [B, C]]


def test_the_type_of_the_times_does_not_matter():
  frame = frame_of(LOG)
  _, want = cut(frame)
  time = pl.col("timestamp")
  for other in (
      time.dt.convert_time_zone("Asia/Shanghai"),
      time.dt.replace_time_zone(None),
      time.dt.cast_time_unit("ns"),
      time.dt.cast_time_unit("ms"),
      time.dt.epoch("us"),
  ):
    _, got = cut(frame.with_columns(other))
    for one, two in zip(got, want, strict=True):
      np.testing.assert_array_equal(one["tokens"], two["tokens"])
      np.testing.assert_array_equal(one["time_gaps"], two["time_gaps"])


def test_ids_may_be_numbers_or_categories_and_designs_may_be_absent():
  frame = frame_of(LOG)
  _, want = cut(frame.with_columns(design_id=pl.lit("0")))
  for other in (
      frame.drop("design_id"),
      frame.with_columns(design_id=pl.lit(None)),
      frame.with_columns(
          pl.col("user_id", "event_id").cast(pl.Categorical),
          design_id=pl.lit(0),
          extra=pl.lit(1),
      ),
  ):
    table, got = cut(other)
    assert table["user_id"].to_list() == ["zoe", "bob"]
    for one, two in zip(got, want, strict=True):
      np.testing.assert_array_equal(one["tokens"], two["tokens"])


def test_a_frame_without_rows_has_no_sequences():
  table, sequences = cut(frame_of(LOG).clear(), unit="user_day")
  assert table.columns == ["user_id", "start", "num_events"]
  assert table.height == 0 and sequences == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.rename({"event_id": "event"}), "no column 'event_id'"),
        (lambda f: f.drop("timestamp"), "no column 'timestamp'"),
        (
            lambda f: f.with_columns(
                pl.when(pl.int_range(pl.len()) > 2).then("user_id")
            ),
            "'user_id' of the frame has 3 nulls, the first in row 0",
        ),
        (
            lambda f: f.with_columns(event_id=pl.lit(None, pl.String)),
            "'event_id' of the frame has 6 nulls",
        ),
        (
            lambda f: f.with_columns(event_id=pl.lit(" ")),
            "'event_id' of the frame is empty in row 0",
        ),
        (
            lambda f: f.with_columns(user_id=pl.lit(1.5)),
            "'user_id' of the frame is Float64; ids are texts",
        ),
        (
            lambda f: f.with_columns(pl.col("timestamp").dt.to_string("iso")),
            "'timestamp' of the frame is String; cast it",
        ),
        (
            lambda f: f.with_columns(pl.col("timestamp").dt.epoch("s")),
            "seems to be seconds",
        ),
    ],
)
def test_a_frame_that_cannot_be_read_is_an_error(change, message):
  with pytest.raises(UserError, match=message):
    cut(change(frame_of(LOG)))


def test_unknown_units_and_zones_are_errors():
  with pytest.raises(UserError, match="unit 'week'; known are user_day, user"):
    cut(frame_of(LOG), unit="week")
  with pytest.raises(UserError, match="'Mars/Olympus' is unknown"):
    cut(frame_of(LOG), unit="user_day", timezone="Mars/Olympus")


@pytest.fixture(scope="module")
def embedder(tmp_path_factory):
  return Embedder.load(make_run(tmp_path_factory.mktemp("run")))


@pytest.mark.slow
def test_encode_frame_gives_the_vectors_of_encode_with_their_owners(embedder):
  frame = frame_of(LOG)
  table = embedder.encode_frame(frame)
  assert table.columns == ["user_id", "start", "num_events", "embedding"]
  assert table.schema["embedding"] == pl.Array(pl.Float32, 16)
  np.testing.assert_array_equal(
      table["embedding"].to_numpy(), embedder.encode(frame)
  )
  days = embedder.encode_frame(frame, unit="user_day", pooling="max", layer=1)
  assert days.height == 3
  zoe = frame.filter(pl.col("user_id") == "zoe").sort(
      "timestamp", maintain_order=True
  )
  want = embedder.encode(
      [zoe.head(3).drop("user_id").to_dict(as_series=False)], "max", 1
  )
  # design_id None is "no design" in a list as in a frame.
  got = days["embedding"].to_numpy()
  np.testing.assert_allclose(got[0], want[0], atol=1e-5)


def test_encode_frame_asks_for_a_frame(embedder):
  with pytest.raises(UserError, match="not a LazyFrame"):
    embedder.encode_frame(frame_of(LOG).lazy())

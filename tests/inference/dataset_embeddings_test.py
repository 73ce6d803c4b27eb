import numpy as np
import polars as pl
import pytest

from behavior_lm.artifacts.vectors import read_embeddings
from behavior_lm.artifacts.vectors import read_settings
from behavior_lm.common.errors import UserError
from behavior_lm.common.progress import CommandProgress
from behavior_lm.inference.dataset_embeddings import embed_dataset
from behavior_lm.inference.dataset_embeddings import Request
from behavior_lm.inference.embedder import Embedder
from behavior_lm.logs import ingest
from behavior_lm.logs.dataset import open_dataset
from tests.inference.fake_runs import EVENTS
from tests.inference.fake_runs import make_run

SPLIT = "2020-01-03"


def make_log(num_events=3000, num_users=12, seed=0):
  """Events of four days, shuffled; one in ten is new to the tokenizer."""
  rng = np.random.default_rng(seed)
  events = rng.choice(
      [*EVENTS, "dance"], num_events, p=[0.2, 0.4, 0.2, 0.1, 0.1]
  )
  seconds = np.unique(rng.integers(0, 4 * 86_400, 4 * num_events))
  times = rng.choice(seconds, num_events, replace=False)
  return pl.DataFrame({
      "user_id": [f"u{n}" for n in rng.integers(0, num_users, num_events)],
      "event_id": events,
      "design_id": [str(n) for n in rng.integers(0, 12, num_events)],
      "timestamp": pl.Series(1_577_836_800_000_000 + times * 1_000_000).cast(
          pl.Datetime("us", "UTC")
      ),
  })


def make_dataset(folder, log, **options):
  folder.mkdir(parents=True)
  log.write_parquet(folder / "log.parquet")
  ingest.prepare(
      ingest.Options(
          logs=str(folder / "log.parquet"),
          out=str(folder / "data"),
          split_time=SPLIT,
          **options,
      ),
      CommandProgress(quiet=True),
  )
  return open_dataset(folder / "data")


@pytest.fixture(scope="module")
def log():
  return make_log()


@pytest.fixture(scope="module")
def days(tmp_path_factory, log):
  return make_dataset(tmp_path_factory.mktemp("days") / "a", log)


@pytest.fixture(scope="module")
def users(tmp_path_factory, log):
  return make_dataset(tmp_path_factory.mktemp("users") / "a", log, unit="user")


@pytest.fixture(scope="module")
def embedder(tmp_path_factory):
  return Embedder.load(make_run(tmp_path_factory.mktemp("run")))


def embed(embedder, dataset, out, *, say=print, **options):
  request = Request(out=str(out), **options)
  return embed_dataset(embedder, dataset, request, run=out.parent, say=say)


def by_key(frame, vectors, *keys):
  rows = frame.select(keys).rows()
  assert len(set(rows)) == len(rows)
  return dict(zip(rows, vectors, strict=True))


def raw_vectors(embedder, log, split, **options):
  """(user, start) -> vector, from the texts of the log."""
  moment = pl.lit(SPLIT).str.to_datetime(time_zone="UTC")
  later = pl.col("timestamp") >= moment
  part = log.filter(later if split == "test" else ~later)
  table = embedder.encode_frame(part, **options)
  return by_key(table, table["embedding"].to_numpy(), "user_id", "start")


def assert_same(got, want):
  assert got.keys() == want.keys() and got
  for key, vector in got.items():
    np.testing.assert_allclose(vector, want[key], atol=1e-5)


@pytest.mark.slow
def test_a_dataset_gives_the_vectors_of_its_raw_log(
    embedder, days, log, tmp_path
):
  done = embed(embedder, days, tmp_path / "e.parquet")
  frame, vectors = read_embeddings(done.path)
  assert frame.columns == ["split", "user_id", "start", "num_events"]
  assert done.rows == done.new_rows == len(vectors)
  assert done.events == done.new_events == log.height
  want_rows = pl.concat([days.sequences(s) for s in days.splits])
  assert frame.equals(want_rows.select(frame.columns))
  for split in ("train", "test"):
    mine = (frame["split"] == split).to_numpy()
    got = by_key(frame.filter(mine), vectors[mine], "user_id", "start")
    want = raw_vectors(embedder, log, split, unit="user_day")
    assert_same(got, want)


@pytest.mark.slow
def test_histories_of_users_are_one_row_each(embedder, users, log, tmp_path):
  done = embed(
      embedder, users, tmp_path / "e.parquet", splits=["test"], pooling="cls",
      layer=1, batch_size=3,
  )
  frame, vectors = read_embeddings(done.path)
  assert frame["split"].unique().to_list() == ["test"]
  got = by_key(frame, vectors, "user_id", "start")
  assert_same(got, raw_vectors(embedder, log, "test", pooling="cls", layer=1))


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["mean", "cls", "max", "last"])
def test_days_of_a_user_are_pooled_by_their_events(
    embedder, days, tmp_path, pooling
):
  embed(embedder, days, tmp_path / "day.parquet", pooling=pooling)
  embed(embedder, days, tmp_path / "user.parquet", unit="user", pooling=pooling)
  frame, vectors = read_embeddings(tmp_path / "day.parquet")
  users, got = read_embeddings(tmp_path / "user.parquet")
  assert users["start"].null_count() == users.height
  assert users["num_events"].sum() == frame["num_events"].sum()
  assert users["split"].unique(maintain_order=True).to_list() == [
      "train", "test",
  ]
  for row, (split, user) in enumerate(users.select("split", "user_id").rows()):
    mine = frame.with_row_index("row").filter(split=split, user_id=user)
    parts = vectors[mine.sort("start")["row"].to_numpy()].astype(float)
    weights = mine.sort("start")["num_events"].to_numpy()
    want = {
        "mean": lambda p, w: np.average(p, axis=0, weights=w),
        "cls": lambda p, w: np.average(p, axis=0, weights=w),
        "max": lambda p, w: p.max(0),
        "last": lambda p, w: p[-1],
    }[pooling](parts, weights)
    np.testing.assert_allclose(got[row], want, atol=1e-5)


class Stop(Exception):
  """Ends a run from the outside, after some parts."""


class Dying:
  """An embedder that dies after some parts."""

  def __init__(self, embedder, parts):
    self._embedder = embedder
    self._parts = parts

  def __getattr__(self, name):
    return getattr(self._embedder, name)

  def encode_rows(self, rows, **options):
    self._parts -= 1
    if self._parts < 0:
      raise Stop
    return self._embedder.encode_rows(rows, **options)


@pytest.fixture
def interrupted(embedder, days, tmp_path):
  """The path of a result of which three parts are there."""
  out = tmp_path / "e.parquet"
  with pytest.raises(Stop):
    embed(Dying(embedder, 3), days, out, part_events=400)
  assert not out.exists()
  return out


@pytest.mark.slow
def test_an_interrupted_run_goes_on_and_gives_the_same_file(
    embedder, days, interrupted, tmp_path
):
  said = []
  done = embed(embedder, days, interrupted, part_events=400, say=said.append)
  assert "3 of 8 parts are there already" in " ".join(said)
  assert 0 < done.new_rows < done.rows
  whole = embed(embedder, days, tmp_path / "w.parquet", part_events=400)
  assert whole.new_rows == done.rows
  assert whole.path.read_bytes() == done.path.read_bytes()
  assert sorted(p.name for p in tmp_path.iterdir()) == [
      "e.parquet", "w.parquet",
  ]


@pytest.mark.slow
def test_a_damaged_part_is_computed_again(
    embedder, days, interrupted, tmp_path
):
  part = sorted(interrupted.with_name("e.parquet.parts").glob("*.parquet"))[1]
  data = bytearray(part.read_bytes())
  data[len(data) // 2] ^= 1
  part.write_bytes(data)
  said = []
  done = embed(embedder, days, interrupted, part_events=400, say=said.append)
  assert any(part.name in s and "damaged" in s for s in said)
  assert "2 of 8 parts are there already" in " ".join(said)
  whole = embed(embedder, days, tmp_path / "w.parquet", part_events=400)
  assert whole.path.read_bytes() == done.path.read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(pooling="max"), "pooling .'mean' there, 'max' now."),
        (dict(layer=0), "layer .2 there, 0 now."),
        (dict(splits=["test"]), "splits "),
        (dict(unit="user"), "unit "),
        (dict(part_events=500), "part_events .400 there, 500 now."),
    ],
)
def test_unfinished_work_of_other_settings_is_not_mixed_in(
    embedder, days, interrupted, change, message
):
  with pytest.raises(UserError, match=f"unfinished work of other.*{message}"):
    embed(embedder, days, interrupted, **dict(part_events=400) | change)


@pytest.mark.slow
def test_unfinished_work_of_another_model_or_dataset_is_not_mixed_in(
    embedder, days, users, interrupted, tmp_path_factory
):
  other = Embedder.load(make_run(tmp_path_factory.mktemp("other"), seed=1))
  with pytest.raises(UserError, match="unfinished work of other.* model "):
    embed(other, days, interrupted, part_events=400)
  with pytest.raises(UserError, match="unfinished work of other.*dataset "):
    embed(embedder, users, interrupted, part_events=400)


def test_a_finished_result_is_kept_unless_told_otherwise(
    embedder, days, tmp_path
):
  out = tmp_path / "e.parquet"
  embed(embedder, days, out, splits=["test"])
  before = out.read_bytes()
  said = []
  done = embed(embedder, days, out, splits=["test"], say=said.append)
  assert done.new_rows == 0 and done.rows == len(read_embeddings(out)[1])
  assert "is there already" in said[0]
  with pytest.raises(UserError, match="made otherwise: pooling .*--overwrite"):
    embed(embedder, days, out, splits=["test"], pooling="max")
  assert out.read_bytes() == before
  assert [p.name for p in tmp_path.iterdir()] == ["e.parquet"]
  embed(embedder, days, out, splits=["test"], pooling="max", overwrite=True)
  assert read_settings(out)["pooling"] == "max"
  assert out.read_bytes() != before


@pytest.mark.slow
def test_the_result_goes_to_the_run_folder_and_says_what_it_is(
    embedder, days, tmp_path
):
  done = embed_dataset(
      embedder, days, Request(splits=["test"], layer=-2), run=tmp_path
  )
  name = "data_test_user_day_mean_layer1_step5.parquet"
  assert done.path == tmp_path / "embeddings" / name
  settings = read_settings(done.path)
  assert settings["model"] == embedder.fingerprint
  assert settings["dataset"] == days.meta["fingerprint"]
  assert settings["step"] == 5 and settings["layer"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(splits=["dev"]), "no split 'dev'; it has train, test"),
        (dict(splits=["test", "test"]), "names a split twice"),
        (dict(unit="week"), "--unit 'week'; known are user_day, user"),
        (dict(pooling="sum"), "pooling 'sum'"),
        (dict(layer=9), "layer 9: the model has 2"),
        (dict(batch_size=0), "batch_size is 0"),
        (dict(part_events=0), "--part_events is 0"),
        (dict(out="e.csv"), "must end in one of .parquet"),
    ],
)
def test_a_wrong_request_leaves_nothing_behind(
    embedder, days, tmp_path, options, message
):
  with pytest.raises(UserError, match=message):
    embed_dataset(embedder, days, Request(**options), run=tmp_path)
  assert list(tmp_path.iterdir()) == []


def test_a_dataset_of_users_has_no_days(embedder, users, tmp_path):
  with pytest.raises(UserError, match="Prepare the log with --unit user_day"):
    embed(embedder, users, tmp_path / "e.parquet", unit="user_day")


def test_a_folder_or_an_unreadable_file_in_the_way_is_an_error(
    embedder, days, tmp_path
):
  (tmp_path / "folder.parquet").mkdir()
  with pytest.raises(UserError, match="is a folder"):
    embed(embedder, days, tmp_path / "folder.parquet")
  (tmp_path / "e.parquet").write_text("not Parquet")
  with pytest.raises(UserError, match="made otherwise: it cannot be read"):
    embed(embedder, days, tmp_path / "e.parquet")

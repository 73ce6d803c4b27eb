"""Rows become arrays by what the training rows say, and by nothing else."""

import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.features import FeatureSchema
from behavior_lm.data.features import FeatureSpace
from behavior_lm.data.features import to_markdown
from behavior_lm.data.samples import read_table
from behavior_lm.data.samples import SampleColumns

SCHEMA = FeatureSchema.of(
    dense={"age": "standard", "price": "log"},
    categorical={
        "item": {},
        "other": {"table": "item"},
        "city": {"buckets": 7},
    },
    sequences={"genres": {"max_length": 2}},
    texts=["title"],
)
FRAME = pl.DataFrame({
    "label": [1, 0, 1, 0],
    "age": ["10", "", "30", "20"],
    "price": [1.0, 9.0, 99.0, 0.0],
    "item": ["a", "b", "a", None],
    "other": ["c", "a", None, "a"],
    "city": ["x", "y", "x", None],
    "genres": ["drama|crime", "drama", "", "war|drama|crime"],
    "title": ["A", "B", None, "D"],
})


def table_of(frame: pl.DataFrame = FRAME):
  columns = SampleColumns(
      labels={"label": "binary"},
      user="",
      dense=SCHEMA.names("dense"),
      categorical=SCHEMA.columns,
      texts=SCHEMA.texts,
  )
  return read_table(frame, columns, None).frame.sort("sample/row")


@pytest.fixture(scope="module")
def space() -> FeatureSpace:
  return FeatureSpace.fit(table_of(), SCHEMA)


def test_rows_without_users_are_users_of_their_own():
  assert table_of()["user_id"].to_list() == ["1", "2", "3", "4"]


def test_columns_of_one_table_share_ids(space):
  ids = space.encode(table_of())["ids"]
  item = space.tables["item"]
  assert item.values == ("a", "b", "c")
  # a is the most frequent value of the two columns together.
  assert ids[0, 0] == ids[1, 1] == item.offset + 2
  assert ids[3, 0] == ids[2, 1] == item.missing


def test_tables_do_not_overlap_and_fill_one_array(space):
  taken = [0]
  for table in space.tables.values():
    taken += range(table.offset, table.offset + table.size)
  assert taken == list(range(space.num_ids))


def test_sets_are_padded_cut_and_never_empty(space):
  bags = space.encode(table_of())["bag/genres"]
  genres = space.tables["genres"]
  assert genres.values[0] == "drama"
  assert bags[1].tolist() == [genres.offset + 2, 0]
  assert bags[2].tolist() == [genres.missing, 0]
  assert (bags[3] > 0).all()


def test_a_value_that_training_lacks_is_unknown(space):
  one = FRAME[:1].with_columns(item=pl.lit("new"), city=pl.lit("zzz"))
  ids = space.encode(table_of(one))["ids"][0]
  assert ids[0] == space.tables["item"].unknown
  city = space.tables["city"]
  assert city.unknown < ids[2] < city.offset + city.size


def test_dense_values_are_normalised_and_missing_ones_say_so(space):
  dense = space.encode(table_of())["dense"]
  assert dense.shape == (4, 3)
  known = dense[[0, 2, 3], 0]
  assert known.mean() == pytest.approx(0, abs=1e-6)
  assert known.std() == pytest.approx(1)
  np.testing.assert_array_equal(dense[:, 2], [0, 1, 0, 0])
  assert dense[1, 0] == 0
  logs = np.log1p(FRAME["price"].to_numpy())
  want = (logs - logs.mean()) / logs.std()
  np.testing.assert_allclose(dense[:, 1], want, atol=1e-6)


def test_quantiles_give_shares_of_the_training_rows():
  rng = np.random.default_rng(0)
  values = rng.lognormal(0, 3, 2_000)
  frame = pl.DataFrame({"label": [0] * 2_000, "x": values})
  schema = FeatureSchema.of(dense={"x": "quantile"})
  columns = SampleColumns(labels={"label": "binary"}, user="", dense=["x"])
  rows = read_table(frame, columns, None).frame
  got = FeatureSpace.fit(rows, schema).encode(rows)["dense"][:, 0]
  order = np.argsort(np.argsort(rows["dense/x"].to_numpy()))
  np.testing.assert_allclose(got, 2 * order / 2_000 - 1, atol=0.01)


def test_only_training_rows_decide(space):
  more = pl.concat([FRAME, FRAME[:1].with_columns(price=pl.lit(1e9))])
  again = FeatureSpace.fit(table_of(more)[:4], SCHEMA)
  assert again == space


def test_what_is_saved_encodes_alike(space, tmp_path):
  space.save(tmp_path)
  loaded = FeatureSpace.load(tmp_path)
  for name, values in space.encode(table_of()).items():
    np.testing.assert_array_equal(loaded.encode(table_of())[name], values)


def test_a_damaged_file_is_named(space, tmp_path):
  space.save(tmp_path)
  (tmp_path / "features.json").write_text('{"schema": {}}')
  with pytest.raises(UserError, match=r"features.json: has no 'normalisers'"):
    FeatureSpace.load(tmp_path)


def test_rare_values_are_unknown_and_caps_hold():
  schema = FeatureSchema.of(categorical={"item": {"min_count": 2}})
  space = FeatureSpace.fit(table_of(), schema)
  assert space.tables["item"].values == ("a",)
  capped = FeatureSchema.of(categorical={"other": {"max_values": 1}})
  assert len(FeatureSpace.fit(table_of(), capped).tables["other"].values) == 1


def test_a_summary_tells_missing_and_unknown(space):
  text = to_markdown(space.summary(table_of()))
  assert "25.0%" in text and "7 buckets" in text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(dense={"a": "root"}), "transform 'root'"),
        (dict(dense={"a": "log"}, categorical={"a": {}}), "more than once"),
        (dict(categorical={"a": {"size": 3}}), "size"),
        (
            dict(categorical={"a": {"table": "t"}, "b": {
                "table": "t", "min_count": 2}}),
            "differ",
        ),
    ],
)
def test_a_wrong_declaration_is_refused(settings, message):
  with pytest.raises(UserError, match=message):
    FeatureSchema.of(**settings)

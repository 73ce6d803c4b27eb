import gzip
import json

import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.prompts.interactions import COLUMNS
from behavior_lm.data.prompts.interactions import read_interactions
from behavior_lm.data.prompts.interactions import split_by_time


def review(user, item, time, stars, **more):
  return {
      "reviewerID": user, "asin": item, "unixReviewTime": time,
      "overall": stars, "summary": f"{stars:g} of {item}", **more,
  }  # fmt: skip


REVIEWS = [
    review("a", "x", 30, 5.0, style={"Color:": " Blue", "Size:": " 7"}),
    review("a", "x", 30, 5.0),
    review("b", "x", 10, 3.0),
    review("b", "y", 20, 4.0),
    review("c", "y", 40, 1.0),
]


@pytest.fixture
def amazon(tmp_path):
  lines = tmp_path / "lines.json.gz"
  text = "\n".join(json.dumps(one) for one in [*REVIEWS[1:], REVIEWS[0]])
  lines.write_bytes(gzip.compress(text.encode()))
  array = tmp_path / "array.json"
  array.write_text(json.dumps(REVIEWS))
  return {"lines": str(lines), "array": str(array)}


def test_reviews_are_read_in_order_of_time_and_copies_count_once(amazon):
  frame = read_interactions(amazon, valid_share=0.0, test_share=0.25)
  assert dict(frame.schema) == COLUMNS
  assert frame["time"].is_sorted()
  own = frame.filter(domain="array")
  assert own["user_id"].to_list() == ["b", "b", "a", "c"]
  assert own["label"].to_list() == [0, 1, 1, 0]
  assert own["text"][2] == "5 of x"
  assert own["item_text"].to_list() == ["", "", "Color: Blue, Size: 7", ""]
  assert own["split"].to_list() == ["train"] * 3 + ["test"]
  assert frame.filter(domain="lines")["item_text"][2] == ""


def test_rows_of_one_time_are_in_one_part():
  frame = pl.DataFrame({"time": [3, 1, 2, 2, 2, 2, 2, 4, 5, 6]})
  found = split_by_time(frame, 0.2, 0.3)
  assert found["time"].to_list() == [1, 2, 2, 2, 2, 2, 3, 4, 5, 6]
  assert found["split"].to_list() == [
      "train", *["valid"] * 6, *["test"] * 3
  ]


def test_films_keep_their_own_split(tmp_path):
  (tmp_path / "items.tsv").write_text(
      'iid\ttitle\tmid\tgenres\n0\tA "B" (1990)\t7\tDrama|Crime\n'
  )
  for number, split in enumerate(("test", "valid", "train")):
    pl.DataFrame({
        "uid": [1], "iid": [0], "label": [number % 2],
        "timestamp": [9 - number], "his": [[0]],
    }).write_parquet(tmp_path / f"{split}.parquet")
  frame = read_interactions({"films": str(tmp_path)})
  assert frame["split"].to_list() == ["train", "valid", "test"]
  assert frame["item_text"][0] == 'A "B" (1990), Drama, Crime'
  assert frame["told"].to_list() == [True, False, False]


def test_a_table_is_read_and_a_synthetic_domain_made(tmp_path):
  made = read_interactions({"toys": "synthetic:40:3"})
  assert set(made["split"]) == {"train", "valid", "test"}
  assert made.equals(read_interactions({"toys": "synthetic:40:3"}))
  path = tmp_path / "toys.parquet"
  made.drop("domain", "label", "told").write_parquet(path)
  back = read_interactions({"toys": str(path)})
  assert back.equals(made)


@pytest.mark.parametrize("make, words", [
    (lambda p: {}, "no domains"),
    (lambda p: {"a": str(p / "none")}, "no such file"),
    (lambda p: {"a": "synthetic:x"}, "synthetic:ROWS"),
    (lambda p: {"a": str(p)}, "no folder of CoLLM's"),
    (lambda p: {"a": "synthetic:1"}, "leave none"),
])
def test_what_is_no_source_is_refused(tmp_path, make, words):
  with pytest.raises(UserError, match=words):
    read_interactions(make(tmp_path))


def test_a_table_without_a_column_is_refused(tmp_path):
  path = tmp_path / "a.parquet"
  pl.DataFrame({"user_id": ["a"]}).write_parquet(path)
  with pytest.raises(UserError, match="no column item, item_text, label"):
    read_interactions({"a": str(path)})

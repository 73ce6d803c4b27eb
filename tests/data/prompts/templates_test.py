from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.prompts.features import count_before
from behavior_lm.data.prompts.features import PromptFeatures
from behavior_lm.data.prompts.interactions import read_interactions
from behavior_lm.data.prompts.templates import earlier
from behavior_lm.data.prompts.templates import make_prompts


@pytest.fixture(scope="module")
def frame():
  return read_interactions({"a": "synthetic:60:0", "b": "synthetic:60:1"})


def table(rows):
  """Rows (domain, user, item, time, label, split)."""
  names = ["domain", "user_id", "item", "time", "label", "split"]
  frame = pl.DataFrame(rows, schema=names, orient="row")
  return frame.with_columns(
      pl.col("label").cast(pl.Int8),
      rating=pl.col("label") * 4.0 + 1,
      text=pl.format("w{}", pl.int_range(pl.len())),
      item_text=pl.lit(""),
      told=pl.col("split") == "train",
  )


def test_a_prompt_tells_what_lies_strictly_before():
  found = make_prompts(table([
      ("big_shop", "u", "i", 1, 1, "train"),
      ("big_shop", "v", "i", 1, 0, "train"),
      ("other", "u", "i", 1, 1, "train"),
      ("big_shop", "u", "i", 2, 0, "test"),
      ("big_shop", "u", "i", 3, 0, "test"),
  ]))
  nothing = "Item: nothing. Others said: nothing. User: nothing."
  assert found[:3] == [
      f"big shop. {nothing}", f"big shop. {nothing}", f"other. {nothing}"
  ]
  assert found[3] == (
      "big shop. Item: nothing. Others said: w1 (1 stars); w0 (5 stars)."
      " User: w0 (5 stars)."
  )
  # The history holds the user's test row; the item's texts are training rows.
  assert found[4].endswith(
      "said: w1 (1 stars); w0 (5 stars). User: w3 (1 stars); w0 (5 stars)."
  )


@settings(deadline=None, max_examples=25)
@given(row=st.integers(0, 119))
def test_nothing_of_a_row_or_of_a_later_one_enters(frame, row):
  """A leak is planted in all rows of the same time and later."""
  time = frame["time"][row]
  late = pl.col("time") >= time
  planted = frame.with_columns(
      text=pl.when(late).then(pl.lit("LEAK")).otherwise("text"),
      rating=pl.when(late).then(6.0 - pl.col("rating")).otherwise("rating"),
      label=pl.when(late).then(1 - pl.col("label")).otherwise("label"),
  )
  before = (frame["time"] <= time).to_numpy()
  own = lambda x: [p for p, seen in zip(make_prompts(x), before, strict=True)
                   if seen]
  assert own(planted) == own(frame)
  assert "LEAK" not in "".join(own(planted))
  for key in ("user_id", "item"):
    counts = [
        count_before(x, [key], np.ones(len(frame), bool))[1]
        for x in (frame, planted)
    ]
    np.testing.assert_array_equal(counts[0][before], counts[1][before])


def test_labels_of_test_rows_do_not_reach_statistics_of_items(frame):
  features = PromptFeatures.fit(frame)
  is_test = pl.col("split") == "test"
  turned = frame.with_columns(
      label=pl.when(is_test).then(1 - pl.col("label")).otherwise("label")
  )
  item_mean = features.dense(frame)[:, 3]
  np.testing.assert_array_equal(features.dense(turned)[:, 3], item_mean)
  assert PromptFeatures.fit(turned) == features


def test_earlier_rows_are_those_of_a_loop(frame):
  visible = np.arange(len(frame)) % 3 > 0
  rows = frame.rows(named=True)
  same = lambda a, b: all(a[k] == b[k] for k in ("domain", "item"))
  for count in (1, 4):
    want = [
        [
            n for n in range(len(rows))[::-1]
            if visible[n] and rows[n]["time"] < row["time"]
            and same(rows[n], row)
        ][:count]
        for row in rows
    ]
    assert earlier(frame, ["item"], count, visible) == want
  counts, liked = count_before(frame, ["item"], visible)
  every = earlier(frame, ["item"], len(frame), visible)
  assert counts.tolist() == [len(found) for found in every]
  assert liked.tolist() == [
      sum(rows[n]["label"] for n in found) for found in every
  ]


def test_a_domain_has_its_template_and_binary_ratings_are_no_stars():
  frame = table([("a", "u", "i", 1, 1, "train"), ("a", "u", "i", 2, 0, "test")])
  frame = frame.with_columns(rating=pl.col("label").cast(pl.Float64))
  found = make_prompts(frame, templates={"a": "{history}!"}, text_length=1)
  assert found == ["nothing!", "liked w!"]


@pytest.mark.parametrize("template", ["{rating}", "{item", "{0}"])
def test_a_template_that_names_something_else_is_refused(frame, template):
  with pytest.raises(UserError, match="template of 'b'"):
    make_prompts(frame, templates={"b": template})

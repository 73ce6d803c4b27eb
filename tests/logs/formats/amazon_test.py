import gzip
import json

import pytest

from tests.logs.formats import reading

_REVIEWS = [
    {
        "overall": 4.0,
        "reviewerID": "A1",
        "asin": "B09",
        "style": {"Size:": " M"},
        "reviewText": 'good ],[{"asin" \\ \n fine',
        "unixReviewTime": 1441324800,
    },
    {"reviewerID": "A2", "asin": "B08", "unixReviewTime": 1441411200},
]
_WANT = [
    ("A1", "review", "B09", "2015-09-04T00:00:00Z", 4.0),
    ("A2", "review", "B08", "2015-09-05T00:00:00Z", None),
]


def _lines(reviews):
  return "".join(json.dumps(review) + "\n" for review in reviews)


def test_lines_gz_and_one_array_read_the_same(tmp_path):
  (tmp_path / "a.json").write_text(_lines(_REVIEWS))
  (tmp_path / "b.json.gz").write_bytes(gzip.compress(_lines(_REVIEWS).encode()))
  (tmp_path / "c.json").write_text(json.dumps(_REVIEWS))
  (tmp_path / "d.json").write_text(json.dumps(_REVIEWS, indent=2))
  for name in ("a.json", "b.json.gz", "c.json", "d.json"):
    assert reading.events(tmp_path / name, "amazon", tmp_path) == _WANT, name


def test_a_cut_off_array_loses_its_last_review_alone(tmp_path):
  log = tmp_path / "a.json"
  log.write_text(json.dumps(_REVIEWS)[:-20])
  found, bad = reading.read(log, "amazon", tmp_path)
  assert reading.as_rows(found) == _WANT[:1]
  assert bad == [(2, "cut-off last row")]


def test_a_review_of_nothing_is_rejected(tmp_path):
  log = tmp_path / "a.json"
  log.write_text(_lines([*_REVIEWS, {"reviewerID": "A3"}]))
  found, bad = reading.read(log, "amazon", tmp_path)
  assert (found.height, bad) == (2, [(3, "no event")])


def test_the_keys_of_a_later_edition_are_mapped(tmp_path):
  log = tmp_path / "a.jsonl"
  log.write_text(
      _lines([
          {
              "user_id": "A", "parent_asin": "B", "timestamp": 1588687728923,
              "rating": 5.0,
          }
      ])
  )  # fmt: skip
  columns = {
      "user_id": "user_id",
      "design_id": "parent_asin",
      "timestamp": "timestamp",
      "rating": "rating",
  }
  assert reading.events(log, "amazon", tmp_path, columns=columns) == [
      ("A", "review", "B", "2020-05-05T14:08:48.923000Z", 5.0)
  ]


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("AMAZON_FASHION_5.json", (3_176, 406, 31, [])),
        ("All_Beauty_5.json.gz", (5_269, 991, 85, [])),
        ("Musical_Instruments_5.json.gz", (10_261, 1_429, 900, [])),
    ],
)
def test_the_real_files_are_read_whole(tmp_path, data_root, name, want):
  log = data_root / "public" / "amazon_reviews" / name
  assert reading.counts(log, "amazon", tmp_path) == want

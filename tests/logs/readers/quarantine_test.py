import json

import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.logs.readers import quarantine
from behavior_lm.logs.readers import time_text


@pytest.fixture
def rejected(tmp_path):
  made = quarantine.Quarantine(tmp_path / "q.jsonl")
  yield made
  made.close()


def test_every_row_is_listed_with_file_row_reason_and_text(rejected, tmp_path):
  rejected.add("a.csv", 7, quarantine.NO_USER, ",e,d\r\n")
  rejected.add("b.csv", 1, quarantine.BAD_ENCODING, b"\xff,caf\xc3\xa9")
  rejected.add("b.csv", 2, quarantine.NO_USER, "x" * 999)
  rejected.close()
  lines = (tmp_path / "q.jsonl").read_text().splitlines()
  assert [json.loads(line) for line in lines] == [
      {"file": "a.csv", "row": 7, "reason": "no user", "text": ",e,d"},
      {
          "file": "b.csv",
          "row": 1,
          "reason": "invalid text encoding",
          "text": "\\xff,café",
      },
      {"file": "b.csv", "row": 2, "reason": "no user", "text": "x" * 200},
  ]


def test_the_limit_is_a_share_of_all_rows(rejected):
  for row in range(10):
    rejected.add("a.csv", row, quarantine.NO_USER, "")
  rejected.check(1_000, 0.01)
  rejected.check(10, 1.0)
  with pytest.raises(UserError):
    rejected.check(999, 0.01)
  with pytest.raises(UserError):
    rejected.check(1_000_000, 0.0)


def test_no_bad_row_passes_the_strictest_limit(rejected):
  rejected.check(10, 0.0)
  rejected.check(0, 0.0)


def test_the_error_counts_by_reason_and_shows_the_first_of_each(rejected):
  for row in (5, 6, 9):
    rejected.add("a.csv", row, quarantine.UNREADABLE_TIME, f"u, e, d, t{row}")
  rejected.add("a.csv", 7, quarantine.NO_USER, ", e, d, t")
  with pytest.raises(UserError) as caught:
    rejected.check(100, 0.01)
  assert str(caught.value) == (
      "4 of 100 rows (4.0%) were rejected; --max_bad_fraction allows 1.00%."
      " Nothing was written.\n"
      "  3 x unreadable time, first a.csv:5: 'u, e, d, t5' (accepted are"
      f" {time_text.ACCEPTED})\n"
      "  1 x no user, first a.csv:7: ', e, d, t'\n"
      "Correct the log or the flags, or raise --max_bad_fraction: the dataset"
      " folder then lists every rejected row in quarantine.jsonl."
  )

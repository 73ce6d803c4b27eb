import copy

import pytest

from experiments.studies.encoders import encoder_study_report
from tests.experiments.benchmarks.race.encoder_result import RESULT


def text_of(**changes):
  return encoder_study_report.to_markdown(copy.deepcopy(RESULT) | changes)


def test_every_run_has_one_line_with_what_it_reached_and_did():
  text = text_of()
  assert (
      "| bert | 2.15 | 81.5% | 1.576 (1.413 to 1.744)"
      " | -0.242 (-0.265 to -0.222, p at most 0.001) | best | 0 | 2,048 x 2"
      " | 1,800 | 8,192 | 8,100 | 15.1 (15.6) | 1.53 M | 1.05% | abc1234+ |"
  ) in text
  assert "| +0.300 (+0.250 to +0.350, p at most 0.001) | 1 |" in text
  for name in ("unigram", "neighbours (masked context)"):
    assert f"| {name} |" in text


@pytest.mark.parametrize("same", [True, False])
def test_all_lines_of_a_table_have_as_many_columns(same):
  text = text_of(**({} if same else {"same_events": []}))
  tables = [[]]
  for line in text.splitlines():
    if line.startswith("|"):
      tables[-1].append(line.count("|"))
    elif tables[-1]:
      tables.append([])
  found = [set(counts) for counts in tables if counts]
  assert len(found) == (3 if same else 2)
  assert all(len(counts) == 1 for counts in found)
  assert ("pair tokens are hidden wherever" in text) == same


def test_it_tells_what_made_it():
  text = text_of()
  assert "python experiments/studies/encoders/run.py --data DATA" in text
  assert "planned for 15 minutes of training steps (15.1 to " in text
  assert "on `train` of logs, on 2 cores; scored on all of `test`" in text
  assert "36,000 hidden tokens of 180,000 events (5.00 events a token)" in text
  assert "![Bits per event and training loss](encoders.png)" in text


def test_one_user_has_neither_interval_nor_difference():
  result = copy.deepcopy(RESULT)
  row = result["groups"][0]["rows"][1]
  row["ci"], row["difference"] = {}, None
  row["difference_to_best"] = None
  text = encoder_study_report.to_markdown(result)
  assert "| bert_seed1 | 2.65 | 75.0% | 1.876 |  |  | 1 |" in text

import re

from behavior_lm.reporting.records import parse_evaluation
from behavior_lm.reporting.records import parse_probe
from behavior_lm.reporting.results import evaluation_section
from behavior_lm.reporting.results import probe_section
from tests.reporting.example_run import changed
from tests.reporting.example_run import EVALUATION
from tests.reporting.example_run import PROBE

HASH = EVALUATION["config_hash"]


def body(content, config_hash=HASH):
  return evaluation_section(
      parse_evaluation(content), "gate", config_hash
  ).body


def rows(page):
  """Cells of each row of the first table, without tags."""
  table = page.split("<tbody>")[1].split("</tbody>")[0]
  return [
      [re.sub("<[^>]+>", " ", cell).split() for cell in row.split("<td")[1:]]
      for row in table.split("<tr")[1:]
  ]


def row_of(page, name):
  (found,) = [row for row in rows(page) if name in " ".join(row[0])]
  return [" ".join(cell).split(">", 1)[-1].strip() for cell in found]


def bold(page):
  table = page.split("<tbody>")[1].split("</tbody>")[0]
  return re.findall("<strong>([^<]+)</strong>", table)


def test_wins_and_losses_are_both_shown():
  page = body(EVALUATION)
  won, lost = row_of(page, "bert (gate)"), row_of(page, "bert (none)")
  assert won[4] == "▲ better"
  assert won[2].startswith("−0.271") and "−0.293 to −0.251" in won[2]
  assert won[3] == "&lt; 0.001"
  assert lost[4] == "▼ worse"
  assert lost[2].startswith("+0.238") and "+0.210 to +0.260" in lost[2]


def test_an_interval_over_zero_is_no_win():
  path = "rows/0/difference_to_best_baseline/ci"
  page = body(changed(EVALUATION, path, [-0.3, 0.01]))
  assert row_of(page, "bert (gate)")[4] == "= no clear difference"


def test_the_best_fair_values_are_bold_and_the_unfair_ones_are_not():
  assert bold(body(EVALUATION)) == ["1.801", "3.41", "67.12 %"]


def test_a_baseline_that_wins_is_bold():
  page = body(changed(EVALUATION, "rows/3/bits_per_event", 1.5))
  assert "1.500" in bold(page) and "1.801" not in bold(page)


def test_a_value_that_is_not_finite_is_never_the_best():
  page = body(changed(EVALUATION, "rows/0/bits_per_event", float("nan")))
  assert "2.072" in bold(page)
  assert "not finite" in page


def test_an_evaluation_of_another_config_is_marked():
  assert "another config" not in body(EVALUATION)
  assert "another config" in body(EVALUATION, config_hash="ffffffffffff")


def test_the_best_features_of_each_label_are_bold():
  page = probe_section(parse_probe(PROBE), "gate").body
  assert bold(page) == ["0.955", "0.890", "0.802", "0.660"]


def test_without_a_result_the_section_says_how_to_get_one():
  missing = evaluation_section(None, "gate", HASH)
  assert "experiments/evaluate.py --runs runs/gate" in missing.body
  assert missing.figures == []
  missing = probe_section(None, "gate")
  assert "experiments/embed.py" in missing.body
  assert "experiments/probe.py" in missing.body

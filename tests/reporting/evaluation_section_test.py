"""Tests for the section about what was measured."""

import re

import pytest

from behavior_lm.reporting.evaluation_section import evaluation_section
from tests.artifacts.example_records import changed
from tests.artifacts.example_records import EVALUATION
from tests.artifacts.example_records import HASH
from tests.artifacts.example_records import RANKING
from tests.reporting.markup_test import read


def body(*records, config_hash=HASH):
  named = {f"name{n}": record for n, record in enumerate(records)}
  return evaluation_section(named, "gate", config_hash).body


def rows(page):
  """Text of each row of the first table."""
  table = page.split("<tbody>")[1].split("</tbody>")[0]
  return [read(row).text for row in table.split("<tr>")[1:]]


def bold(page):
  return re.findall("<strong>([^<]+)</strong>", page)


def test_rows_are_sorted_by_the_main_column_in_its_direction():
  found = rows(body(EVALUATION))
  assert [row[:6] for row in found] == [
      "sees e", "bert (", "neighb", "bert (", "unigra"
  ]
  worst_first = changed(RANKING, "rows", RANKING["rows"][::-1])
  assert rows(body(worst_first))[0].startswith("tower")


@pytest.mark.parametrize(
    ("record", "interval", "verdict"),
    [
        (EVALUATION, [-0.3, -0.2], "▲ better"),
        (EVALUATION, [0.2, 0.3], "▼ worse"),
        (EVALUATION, [-0.3, 0.01], "= no clear difference"),
        (RANKING, [0.2, 0.3], "▲ better"),
        (RANKING, [-0.3, -0.2], "▼ worse"),
    ],
)
def test_the_verdict_follows_the_interval_and_what_is_better(
    record, interval, verdict
):
  page = body(changed(record, "rows/0/difference/ci", interval))
  (row,) = [r for r in rows(page) if r.startswith(record["rows"][0]["model"])]
  assert row.endswith(verdict)


def test_the_best_values_are_bold_and_those_of_references_are_not():
  assert bold(body(EVALUATION)) == ["3.41", "67.12%", "1.801"]
  assert bold(body(RANKING)) == ["0.1234"]
  better = changed(EVALUATION, "rows/3/values/bits_per_event", 1.5)
  assert "1.500" in bold(body(better))
  nan = changed(EVALUATION, "rows/0/values/bits_per_event", float("nan"))
  assert "2.072" in bold(body(nan)) and "not finite" in body(nan)


def test_each_evaluation_has_its_own_title_columns_and_figure():
  found = evaluation_section(
      {"a": EVALUATION, "b": RANKING}, "gate", HASH
  )
  for text in ("Masked events", "perplexity per token", "NDCG@10", "mask_rate"):
    assert text in found.body
  assert [figure.name for figure in found.figures] == [
      "evaluation_a", "evaluation_b"
  ]


def test_an_evaluation_of_another_config_is_marked():
  notice = 'class="notice"'
  assert notice not in body(EVALUATION)
  assert notice in body(EVALUATION, config_hash="ffffffffffff")


def test_without_an_evaluation_the_section_says_how_to_get_one():
  assert "experiments/evaluate.py --run runs/gate" in body()

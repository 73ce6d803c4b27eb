import pytest

from behavior_lm.reporting.data_record import parse_data_report
from behavior_lm.reporting.distributions import data_figures
from tests.reporting.example_run import changed
from tests.reporting.example_run import DATA_REPORT


def figures_of(content):
  return {
      figure.name: figure for figure in data_figures(parse_data_report(content))
  }


def test_lengths_gaps_growth_and_coverage_are_drawn():
  figures = figures_of(DATA_REPORT)
  assert list(figures) == [
      "data_lengths", "data_gaps", "data_growth", "data_coverage"
  ]
  for name in ("data_lengths", "data_coverage"):
    assert ">train<" in figures[name].svg
    assert ">test<" in figures[name].svg


def test_the_gap_bars_say_their_share_and_their_time():
  svg = figures_of(DATA_REPORT)["data_gaps"].svg
  # Twelve bins, six of them empty: too many to write on each.
  for text in ("58 %", "0", "1 s", "1 min", "1 h"):
    assert f">{text}<" in svg, text
  assert ">30 %<" not in svg


def test_the_slope_of_the_growth_is_that_of_its_end():
  growth = [{"events": 10**n, "pairs": 3**n} for n in range(1, 5)]
  figure = figures_of(changed(DATA_REPORT, "growth", growth))["data_growth"]
  assert "power 0.48" in figure.caption  # log 3 / log 10


def test_gaps_from_microseconds_to_years_fit_the_axis():
  bins = [{"from": 0.0, "to": 1e-6, "count": 9}]
  bins += [
      {"from": 10.0**n, "to": 10.0 ** (n + 1), "count": 1}
      for n in range(-6, 9)
  ]
  svg = figures_of(changed(DATA_REPORT, "gaps/histogram", bins))[
      "data_gaps"
  ].svg
  for text in ("1 µs", "1 ms", "1 s", "1 min", "1 h", "1 y"):
    assert f">{text}<" in svg, text


def test_few_gap_bins_say_their_shares():
  bins = [
      {"from": 0.0, "to": 1e-6, "count": 2_198_065},
      {"from": 1.0, "to": 2.0, "count": 2_000_000},
      {"from": 2.0, "to": None, "count": 200_064},
  ]
  svg = figures_of(changed(DATA_REPORT, "gaps/histogram", bins))[
      "data_gaps"
  ].svg
  for text in ("50 %", "45 %", "5 %"):
    assert f">{text}<" in svg, text


def test_gaps_that_are_all_ties_are_one_bar():
  bins = [{"from": 0.0, "to": 1e-6, "count": 4_398_129}]
  svg = figures_of(changed(DATA_REPORT, "gaps/histogram", bins))[
      "data_gaps"
  ].svg
  assert ">100 %<" in svg


@pytest.mark.parametrize(
    ("path", "value", "lost"),
    [
        ("gaps", {"count": 0}, {"data_gaps"}),
        ("growth", [{"events": 3, "pairs": 2}], {"data_growth"}),
        ("splits", {}, {"data_lengths", "data_coverage"}),
    ],
)
def test_what_has_no_numbers_has_no_figure(path, value, lost):
  every = {"data_lengths", "data_gaps", "data_growth", "data_coverage"}
  assert set(figures_of(changed(DATA_REPORT, path, value))) == every - lost


def test_one_sequence_of_one_event_is_a_histogram():
  lengths = {
      "count": 1,
      "mean": 1.0,
      "min": 1,
      "max": 1,
      "quantiles": {"p50": 1.0},
      "histogram": [{"from": 1, "to": 2, "count": 1}],
  }
  content = changed(DATA_REPORT, "splits/train/lengths", lengths)
  content["splits"].pop("test")
  assert "data_lengths" in figures_of(content)

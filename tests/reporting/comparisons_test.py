from behavior_lm.reporting import comparisons
from behavior_lm.reporting.records import parse_evaluation
from behavior_lm.reporting.records import parse_probe
from tests.reporting.example_run import changed
from tests.reporting.example_run import EVALUATION
from tests.reporting.example_run import PROBE


def places(svg, texts):
  found = [svg.index(f">{text}<") for text in texts]
  assert found == sorted(found), "not in this order"


def test_every_row_is_drawn_with_its_number():
  svg = comparisons.bits_figure(parse_evaluation(EVALUATION)).svg
  places(svg, ["1.742", "1.801", "2.072", "2.310", "7.443"])


def test_a_value_far_off_does_not_press_the_others_together():
  svg = comparisons.bits_figure(parse_evaluation(EVALUATION)).svg
  marks = [part.split("<")[0] for part in svg.split(">")]
  assert "1.8" in marks and "7" not in marks


def test_rows_without_intervals_are_drawn():
  content = EVALUATION
  for row in range(len(content["rows"])):
    content = changed(content, f"rows/{row}/bits_per_event_ci", None)
  figure = comparisons.bits_figure(parse_evaluation(content))
  assert ">1.801<" in figure.svg


def test_a_single_row_is_drawn():
  content = changed(EVALUATION, "rows", EVALUATION["rows"][:1])
  assert ">1.801<" in comparisons.bits_figure(parse_evaluation(content)).svg


def test_labels_are_kept_together_the_best_features_first():
  svg = comparisons.probe_figure(parse_probe(PROBE)).svg
  places(svg, ["0.955", "0.953", "0.871", "0.802", "0.741"])

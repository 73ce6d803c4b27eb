"""Tests for the section about labels."""

import re

from behavior_lm.reporting.probe_section import probe_section
from tests.artifacts.example_records import PROBE


def test_the_best_features_of_each_label_are_bold_and_come_first():
  section = probe_section(PROBE, "gate")
  assert re.findall("<strong>([^<]+)</strong>", section.body) == [
      "0.955", "0.890", "0.802", "0.660"
  ]
  (figure,) = section.figures
  assert [text.get_text() for text in figure.axes.texts] == [
      "0.955", "0.953", "0.871", "0.802", "0.741"
  ]


def test_without_a_probe_the_section_says_how_to_get_one():
  assert "experiments/probe.py" in probe_section(None, "gate").body

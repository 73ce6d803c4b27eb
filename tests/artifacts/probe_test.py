"""Tests for the probe record."""

import json

import pytest

from behavior_lm.artifacts import probe
from behavior_lm.common.errors import UserError
from tests.artifacts.example_records import changed
from tests.artifacts.example_records import PROBE


def test_what_is_written_is_read(tmp_path):
  paths = probe.write_probe(tmp_path / "run" / "probe.json", PROBE)
  assert sorted((tmp_path / "run").iterdir()) == sorted(paths)
  assert probe.read_probe(paths[0]) == PROBE
  text = paths[1].read_text()
  for row in PROBE["rows"]:
    assert " | ".join(probe.cells(row)).strip() in text
  assert PROBE["notes"][0] in text and PROBE["command"] in text


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("rows", []),
        ("rows/0", {"label": "bot"}),
        ("rows/0/auc", "high"),
        ("rows/0/auc_ci", [1.0]),
        ("rows/0/seeds", None),
        ("oracle", {"bot": {"auc": 0.9}}),
        ("notes", None),
        ("num_users", "many"),
    ],
)
def test_a_damaged_record_is_named(tmp_path, path, value):
  file = tmp_path / "probe.json"
  file.write_text(json.dumps(changed(PROBE, path, value)))
  with pytest.raises(UserError, match=str(file)):
    probe.read_probe(file)

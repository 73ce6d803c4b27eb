import json
import math

import pytest

from behavior_lm.artifacts.metrics import drop_after
from behavior_lm.artifacts.metrics import MetricWriter
from behavior_lm.artifacts.metrics import read_metrics
from behavior_lm.artifacts.metrics import Window
from behavior_lm.common.errors import UserError


def test_a_window_survives_json_to_the_last_bit():
  window = Window()
  for value in (0.1, 1 / 3, 2e-17):
    window.add({"loss": value})
  again = Window(json.loads(json.dumps(window.to_json())))
  for w in (window, again):
    w.add({"loss": 0.7})
  assert again.means() == window.means()
  assert window.means()["loss"] == pytest.approx((0.1 + 1 / 3 + 0.7) / 4)


def test_what_a_checkpoint_got_does_not_change_with_the_window():
  window = Window()
  window.add({"loss": 1.0})
  saved = window.to_json()
  window.add({"loss": 2.0})
  assert saved == {"count": 1, "skipped": 0, "sums": {"loss": 1.0}}


def test_refused_steps_are_counted_and_their_losses_left_out():
  window = Window()
  window.add({"loss": 1.0})
  window.add({"loss": float("nan")}, skipped=True)
  again = Window(window.to_json())
  assert again.means() == {"loss": 1.0, "skipped": 1}


def test_lines_after_the_checkpoint_and_cut_lines_are_dropped(tmp_path):
  path = tmp_path / "metrics.jsonl"
  path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
  drop_after(path, 2)
  assert [line["step"] for line in read_metrics(path)] == [1, 2]


def test_written_metrics_are_read_back(tmp_path):
  writer = MetricWriter(tmp_path)
  writer.write(5, {"loss": 1.25})
  writer.close()
  assert read_metrics(tmp_path / "metrics.jsonl") == [{"step": 5, "loss": 1.25}]


def test_a_line_that_is_being_written_is_left_out(tmp_path):
  path = tmp_path / "metrics.jsonl"
  path.write_text('{"step": 1, "loss": NaN}\n{"step": 2, "lo')
  (line,) = read_metrics(path)
  assert line["step"] == 1 and math.isnan(line["loss"])


@pytest.mark.parametrize(
    "line", [b"nonsense", b'{"loss": 1}', b'{"step": 1, "a": "b"}', b"3"]
)
def test_a_damaged_line_is_named(tmp_path, line):
  path = tmp_path / "metrics.jsonl"
  path.write_bytes(b'{"step": 1}\n' + line + b"\n")
  with pytest.raises(UserError, match=r"metrics.jsonl, line 2"):
    read_metrics(path)
  path.write_bytes(b"\x80\xff\x00\n")
  with pytest.raises(UserError, match=r"metrics.jsonl: cannot be read"):
    read_metrics(path)

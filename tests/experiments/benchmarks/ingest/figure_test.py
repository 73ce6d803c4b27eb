import pytest

from experiments.benchmarks.ingest.figure import draw


@pytest.mark.slow
def test_the_curve_is_a_picture_whatever_was_measured(tmp_path):
  rows = [
      {
          "subject": subject,
          "format": "csv",
          "events": events,
          "seconds": events / 1e6,
          "peak_bytes": 5e8,
      }
      for subject in ("behavior_lm", "pandas")
      for events in (3_000_000, 1_000_000)
  ]
  for name, some in (("all", rows), ("one", rows[:1])):
    path = tmp_path / f"{name}.png"
    draw(some, path)
    assert path.read_bytes()[:4] == b"\x89PNG"

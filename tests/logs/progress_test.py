import io

import pytest

from behavior_lm.logs import progress as progress_lib


class Terminal(io.StringIO):
  def isatty(self):
    return True


@pytest.fixture
def clock(monkeypatch):
  now = [0.0]
  monkeypatch.setattr(progress_lib.time, "monotonic", lambda: now[0])
  return now


def test_a_file_gets_a_line_every_few_seconds(clock):
  stream = io.StringIO()
  progress = progress_lib.Progress(stream)
  for second in range(12):
    clock[0] = float(second)
    progress.rows(1_000 * second, "a.csv")
  progress.stage("sorting", 1, 4)
  clock[0] = 20.0
  progress.stage("sorting", 2, 4)
  progress.close()
  assert stream.getvalue().splitlines() == [
      "reading a.csv: 5,000 rows, 1,000 rows/s",
      "reading a.csv: 10,000 rows, 1,000 rows/s",
      "sorting: 2 of 4",
  ]


def test_a_terminal_gets_one_moving_line(clock):
  stream = Terminal()
  progress = progress_lib.Progress(stream)
  clock[0] = 1.0
  progress.rows(2_000, "a.csv")
  progress.close()
  assert "reading a.csv: 2,000 rows, 2,000 rows/s" in stream.getvalue()


def test_quiet_is_quiet(clock):
  stream = io.StringIO()
  progress = progress_lib.Progress(stream, quiet=True)
  clock[0] = 100.0
  progress.rows(1, "a.csv")
  assert stream.getvalue() == ""
  assert progress.seconds == 100.0

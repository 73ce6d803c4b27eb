import io

import pytest

from behavior_lm.common import progress as progress_lib
from behavior_lm.common.progress import Bar
from behavior_lm.common.progress import CommandProgress


class Terminal(io.StringIO):
  def isatty(self):
    return True


@pytest.fixture
def clock(monkeypatch):
  now = [0.0]
  monkeypatch.setattr(progress_lib.time, "monotonic", lambda: now[0])
  return now


@pytest.mark.parametrize(
    ("seconds", "want"),
    [(-1, "0:00"), (65.9, "1:05"), (3_700, "1:01:40"), (90_000, "25:00:00")],
)
def test_a_duration_is_short(seconds, want):
  assert progress_lib.duration(seconds) == want


def test_a_file_gets_a_line_every_few_seconds(clock):
  stream = io.StringIO()
  progress = CommandProgress(stream, every=5.0)
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


@pytest.mark.parametrize(
    ("show", "want"),
    [
        (
            lambda progress: progress.rows(2_000, "a[1].csv"),
            "reading a[1].csv: 2,000 rows, 2,000 rows/s",
        ),
        (lambda progress: progress.stage("sorting", 2, 4), "sorting: 2 of 4"),
    ],
)
def test_a_terminal_gets_one_moving_line(clock, show, want):
  stream = Terminal()
  progress = CommandProgress(stream)
  show(progress)
  clock[0] = 1.0
  show(progress)
  progress.close()
  assert stream.getvalue().count(want) == 1
  assert ("━" in stream.getvalue()) == ("of" in want)


def test_quiet_is_quiet(clock):
  stream = io.StringIO()
  progress = CommandProgress(stream, quiet=True)
  clock[0] = 100.0
  progress.rows(1, "a.csv")
  assert stream.getvalue() == ""
  assert progress.seconds == 100.0


@pytest.mark.parametrize(
    ("total", "want"),
    [
        (
            30,
            "embedding: 10 of 30 sequences, 0.5 sequences/s, 100 events/s,"
            " 0:40 left\n",
        ),
        (None, "embedding: 10 sequences, 0.5 sequences/s, 100 events/s\n"),
    ],
)
def test_a_bar_says_how_fast_it_is_and_what_is_left(clock, capsys, total, want):
  bar = Bar(total)
  bar.add(1_500, rows=9)
  clock[0] = 20.0
  bar.add(500)
  bar.close()
  assert capsys.readouterr().err == want
  assert (bar.rows, bar.events, bar.seconds) == (10, 2_000, 20.0)


def test_a_bar_that_is_not_shown_counts(clock, capsys):
  bar = Bar(2, shown=False)
  clock[0] = 100.0
  bar.add(7, rows=2)
  assert (bar.rows, bar.events) == (2, 7)
  assert capsys.readouterr().err == ""

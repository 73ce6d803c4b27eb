import pytest

from tests.experiments import command
from tests.inference.fake_runs import make_run


@pytest.mark.slow
def test_the_nearest_events_are_printed(tmp_path):
  run = make_run(tmp_path / "run")
  status, text, error = command.run(
      "neighbours", f"--run={run}", "--events=login#0,shop#0", "--number=2"
  )
  assert status == 0, error
  assert "nearest to login#0:" in text and "nearest to shop#0:" in text
  assert text.count("cosine") == 2


@pytest.mark.parametrize(
    "flags", [[], ["--run=a"], ["--users=b"], ["--vectors=a", "--events=b"]]
)
def test_too_little_is_one_line(flags):
  status, _, error = command.run("neighbours", *flags)
  assert status == 2
  assert "--vectors and --users" in error and error.count("\n") == 1

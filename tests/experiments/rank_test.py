from tests.experiments.command import run


def test_missing_flags_are_one_clear_line():
  status, _, error = run("rank", "--run=runs/none")
  assert status == 2
  assert error.count("\n") == 1 and "--requests and --out are needed" in error

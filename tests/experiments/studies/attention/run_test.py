import pytest

from tests.experiments.command import run


@pytest.mark.slow
def test_it_writes_the_picture(tmp_path):
  out = tmp_path / "attention.png"
  status, said, error = run("studies/attention/run", f"--out={out}")
  assert status == 0, error
  assert said == f"written: {out}\n"
  assert out.read_bytes().startswith(b"\x89PNG")


def test_no_folder_is_one_clear_line(tmp_path):
  status, _, error = run("studies/attention/run", f"--out={tmp_path}/no/a.png")
  assert status == 2
  assert "there is no folder" in error and error.count("\n") == 1

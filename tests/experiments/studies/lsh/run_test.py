import json

import pytest

from tests.experiments.command import run


@pytest.mark.slow
def test_it_writes_numbers_table_and_figure(tmp_path):
  out = tmp_path / "found"
  status, said, error = run(
      "studies/lsh/run", "--length=128", "--chunk_size=16", "--top_k=3",
      "--rounds=1", "--rounds=2", "--seeds=2", f"--out={out}",
  )  # fmt: skip
  assert status == 0, error
  result = json.loads(out.with_suffix(".json").read_text())
  assert (result["seeds"], result["top_k"], result["clusters"]) == (2, 3, 8)
  assert {row["rounds"] for row in result["rows"]} == {1, 2}
  page = out.with_suffix(".md").read_text()
  assert "--chunk_size=16" in page and "| random |" in page and page in said
  assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("flag", "says"),
    [
        ("--out=no/where", "there is no folder no"),
        ("--top_k=2000", "is more than --length 1024"),
        ("--rounds=0", "--rounds 0: at least 1"),
    ],
)
def test_a_wrong_flag_is_one_clear_line(flag, says):
  status, _, error = run("studies/lsh/run", flag)
  assert status == 2
  assert says in error and error.count("\n") == 1

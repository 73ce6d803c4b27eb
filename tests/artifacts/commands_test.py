import subprocess

import pytest

from behavior_lm.artifacts import commands


@pytest.mark.parametrize(
    ("command", "want"),
    [
        (
            "python /home/me/main/experiments/evaluate.py --runs a/b",
            "python experiments/evaluate.py --runs a/b",
        ),
        ("x --runs=/r/a,/r/b/c --data '/d e/f'", None),
        ("x --data=/home/me/d --n=1/2", "x --data=d --n=1/2"),
    ],
)
def test_recorded_commands_lose_absolute_folders(command, want):
  got = commands.without_folders(command)
  assert "/home" not in got and "/r/" not in got
  if want:
    assert got == want


def test_a_command_keeps_its_relative_paths():
  command = "python experiments/evaluate.py --runs runs/gate,runs/none"
  assert commands.without_folders(command) == command


def test_the_version_of_code_knows_changes_but_those_of_results(tmp_path):
  assert commands.code_version(tmp_path) == ""

  def git(*words):
    name = ["-c", "user.name=a", "-c", "user.email=a@b.example"]
    subprocess.run(["git", "-C", tmp_path, *name, *words], check=True)

  results = tmp_path / "experiments" / "results"
  results.mkdir(parents=True)
  for path in (tmp_path / "code.py", results / "table.md"):
    path.write_text("1")
  git("init", "-q")
  git("add", ".")
  git("commit", "-qm", "first")
  version = commands.code_version(tmp_path)
  assert len(version) >= 7 and "+" not in version
  (results / "table.md").write_text("2")
  assert commands.code_version(tmp_path) == version
  (tmp_path / "code.py").write_text("2")
  assert commands.code_version(tmp_path) == version + "+"

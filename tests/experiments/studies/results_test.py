import json

from matplotlib.figure import Figure
import pytest

from behavior_lm.common.errors import UserError
from experiments.studies import results


def test_a_result_is_written_beside_its_page_and_pictures(tmp_path, capsys):
  out = tmp_path / "new" / "v1.2"
  results.write_result(out, {"x": 1}, "# x\n", {"_a.png": b"\x89PNG"})
  files = {path.name: path.read_bytes() for path in out.parent.iterdir()}
  assert json.loads(files.pop("v1.2.json")) == {"x": 1}
  assert files == {"v1.2.md": b"# x\n", "v1.2_a.png": b"\x89PNG"}
  said = capsys.readouterr().out
  assert all(str(path) in said for path in out.parent.iterdir())


def test_a_missing_folder_is_named(tmp_path):
  assert results.checked_out(f"{tmp_path}/a") == tmp_path / "a"
  with pytest.raises(UserError, match="there is no folder no"):
    results.checked_out("no/a")


def test_a_figure_is_a_png(tmp_path):
  results.save_figure(Figure(), tmp_path / "a.png", 50)
  [path] = tmp_path.iterdir()
  assert path.read_bytes().startswith(b"\x89PNG")

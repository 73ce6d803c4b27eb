from pathlib import Path

import pytest

from behavior_lm.common.errors import UserError
from experiments.studies.sweep.sweep_file import make_config
from experiments.studies.sweep.sweep_file import read_sweep

FILES = sorted(
    (Path(__file__).parents[4] / "experiments" / "ablations").glob("*.py")
)


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_every_row_of_every_ablation_is_a_config(path):
  sweep = read_sweep(path)
  hashes = set()
  for row in sweep.rows:
    config = make_config(sweep, row, data="d", seed=3, argument="size=tiny")
    assert (config.data.path, config.seed, config.model.num_layers) == (
        "d", 3, 2,
    )
    hashes.add(str(config))
  assert len(hashes) == len(sweep.rows)


@pytest.mark.parametrize("text", [
    "SWEEP = {'a': ('', {})}\nCONTROL = 'a'\n",
    '"""Why."""\nSWEEP = {"a": ("", {})}\nCONTROL = "b"\n',
    '"""Why."""\n',
])
def test_what_a_file_lacks_is_named(tmp_path, text):
  path = tmp_path / "one.py"
  path.write_text(text)
  with pytest.raises(UserError, match="needs a docstring"):
    read_sweep(path)
  with pytest.raises(UserError, match="is no Python file"):
    read_sweep(tmp_path / "none.py")


def test_a_key_that_the_config_lacks_is_named(tmp_path):
  path = tmp_path / "one.py"
  path.write_text(
      '"""Why."""\nSWEEP = {"a": ("", {"optim.lr": 1.0})}\nCONTROL = "a"\n'
  )
  with pytest.raises(UserError, match="row 'a' of one.*lr"):
    make_config(read_sweep(path), "a", data="d", seed=0)

import json
from pathlib import Path

import pytest

from configs.pretrain import get_config
from configs.pretrain import SIZES
from tests import command_server
from tests.tiny import tiny_dataset

REPO = Path(__file__).resolve().parents[2]


def command(name, *arguments):
  return command_server.run(f"experiments/{name}.py", *arguments)


@pytest.mark.slow
def test_train_then_evaluate_from_the_command_line(tmp_path):
  data = tiny_dataset(tmp_path)
  tokenizer = tmp_path / "tokenizer"
  done = command("fit_tokenizer", f"--data={data}", f"--out={tokenizer}")
  assert done.returncode == 0, done.stderr
  assert "100.00% exact" in done.stdout
  run = tmp_path / "run"
  done = command(
      "train",
      f"--workdir={run}",
      "--config=configs/pretrain.py:size=tiny,runlocal=1",
      f"--config.data.path={data}",
      f"--config.tokenizer.path={tokenizer}",
  )
  assert done.returncode == 0, done.stderr
  assert f"saved in {run}" in done.stdout
  assert "next: python experiments/evaluate.py" in done.stdout
  out = tmp_path / "tables" / "all"
  done = command(
      "evaluate", f"--run={run}", f"--data={data}", f"--out={out}"
  )
  assert done.returncode == 0, done.stderr
  result = json.loads((run / "evaluations" / "test.json").read_text())
  assert [row["model"] for row in result["rows"]][0] == "bert (bucket)"
  assert len(result["rows"]) == 5
  assert (tmp_path / "tables" / "all.md").exists()


@pytest.mark.parametrize(
    "name, arguments, message",
    [
        ("train", [], "no --workdir"),
        ("train", ["--workdir=x"], "set --config.data.path"),
        ("train", ["--workdir=x", "stray"], "unexpected argument 'stray'"),
        ("evaluate", [], "--run is missing"),
        ("evaluate", ["--run=nowhere", "--data=nowhere"], "nowhere"),
        ("fit_tokenizer", [], "--data and --out are both needed"),
    ],
)
def test_wrong_usage_ends_with_one_line_and_status_2(name, arguments, message):
  done = command(name, *arguments)
  assert done.returncode == 2
  assert message in done.stderr
  assert "Traceback" not in done.stderr
  assert not (REPO / "x").exists()


@pytest.mark.parametrize("size", sorted(SIZES))
def test_every_size_is_a_config_of_primitives(size):
  for time in ("none", "bucket", "gate"):
    config = get_config(f"size={size},time={time}")
    assert json.loads(json.dumps(config.to_dict())) == config.to_dict()
    assert config.model.time_encoding == time


@pytest.mark.parametrize("arg", ["size=huge", "colour=red"])
def test_an_unknown_config_argument_is_refused(arg):
  with pytest.raises(ValueError, match="known are"):
    get_config(arg)


def test_longer_rows_bring_the_windows_that_belong_to_them():
  config = get_config("model=longformer,size=small,length=1024")
  assert config.data.max_length * config.data.batch_size == 128 * 16
  assert config.data.max_segments == 8
  assert config.model.window_size == 128
  assert get_config("length=999999").data.batch_size == 1
  with pytest.raises(ValueError, match="length '1k'"):
    get_config("length=1k")

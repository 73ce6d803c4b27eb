import json

import pytest

from behavior_lm.common.errors import UserError
from experiments.benchmarks import common


def row(model, speed):
  case = {"model": model, "own": {}, "heads": ["masked"]}
  case |= dict.fromkeys(
      ("mode", "length", "batch_size", "dtype", "num_layers", "embed_dim",
       "vocab_size"), 1,
  )  # fmt: skip
  return {"case": case, "speed": speed}


def test_cases_are_measured_one_by_one_into_one_result(tmp_path):
  path = tmp_path / "new" / "train.json"
  page = lambda result: f"{len(result['rows'])} rows of {result['mode']}"
  for one in (row("bert", 1), row("albert", 2), row("bert", 3)):
    rows = common.add_row(path, one, page, mode="train")
  assert [one["speed"] for one in rows] == [3, 2]
  assert path.with_suffix(".md").read_text() == "2 rows of train"
  assert common.older_rows(path) == rows


def test_rows_of_another_machine_are_refused(tmp_path):
  path = tmp_path / "train.json"
  assert common.older_rows(path) == []
  machine = common.machine() | {"cores": 999}
  path.write_text(json.dumps({"machine": machine, "rows": []}))
  with pytest.raises(UserError, match=r"another machine: cores \(999 there"):
    common.older_rows(path)


def test_tiny_cases_never_come_among_the_published(tmp_path):
  published = common.result_path("train", "", runlocal=False)
  assert published == common.REPO / "experiments" / "results" / "train.json"
  assert common.result_path("train", "", runlocal=True) != published
  given = common.result_path("train", f"{tmp_path}/a.json", runlocal=True)
  assert given == tmp_path / "a.json"
  with pytest.raises(UserError, match=r"must end in \.json"):
    common.result_path("train", "a.md", runlocal=False)

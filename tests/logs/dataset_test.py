import json
import multiprocessing
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.common.progress import CommandProgress
from behavior_lm.logs import dataset as dataset_lib
from behavior_lm.logs.dataset import open_dataset
from tests.logs.support import log_files

_DAY = 86_400


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp("dataset")
  rows = [(f"u{n % 9}", f"e{n % 7}", None, 4_000.0 * n) for n in range(400)]
  log_files.event_frame(rows).write_parquet(path / "log.parquet")
  log_files.prepare(
      path / "log.parquet", path / "out", split_time="2024-03-16"
  )
  return path / "out"


@pytest.fixture
def copy(folder, tmp_path):
  return shutil.copytree(folder, tmp_path / "copy")


def test_items_have_the_types_of_the_contract(folder):
  source = open_dataset(folder).source("train")
  item = source[0]
  assert list(item) == ["user_id", "start", "pair", "timestamp"]
  assert type(item["user_id"]) is str and type(item["start"]) is int
  assert item["pair"].dtype == np.int32
  assert item["timestamp"].dtype == np.int64
  assert item["pair"].shape == item["timestamp"].shape


def test_an_item_is_the_row_of_the_sequences_with_its_index(folder):
  dataset = open_dataset(folder)
  assert dataset.splits == ["train", "test"]
  for split in dataset.splits:
    table, source = dataset.sequences(split), dataset.source(split)
    assert table["index"].to_list() == list(range(len(source)))
    assert len(source) == dataset.meta["splits"][split]["num_sequences"]
    for row in table.iter_rows(named=True):
      item = source[row["index"]]
      assert item["user_id"] == row["user_id"]
      assert len(item["pair"]) == row["num_events"]
      start = row["start"] - log_files.START
      assert item["start"] == item["timestamp"][0]
      assert item["start"] - start.total_seconds() * 1e6 == (
          log_files.START.timestamp() * 1e6
      )


def test_an_index_counts_from_the_end_too_and_ends_somewhere(folder):
  source = open_dataset(folder).source("train")
  np.testing.assert_array_equal(
      source[-1]["timestamp"], source[len(source) - 1]["timestamp"]
  )
  for index in (len(source), -len(source) - 1):
    with pytest.raises(IndexError, match=f"index {index} of {len(source)} seq"):
      source[index]


@pytest.mark.slow
def test_a_source_opens_its_files_in_the_process_that_reads(folder):
  source = open_dataset(folder).source("train")
  assert source._source is None
  source[0]
  sent = pickle.dumps(source)
  assert len(sent) < 1_000
  assert pickle.loads(sent)._source is None
  with multiprocessing.get_context("spawn").Pool(1) as pool:
    [found] = pool.map(source.__getitem__, [3])
  np.testing.assert_array_equal(found["pair"], source[3]["pair"])


@pytest.mark.slow
def test_reading_imports_neither_tensorflow_nor_jax(folder):
  program = (
      "import sys; from behavior_lm.logs.dataset import open_dataset;"
      f"open_dataset({str(folder)!r}).source('train')[0];"
      "print([m for m in ('tensorflow', 'torch', 'jax') if m in sys.modules])"
  )
  found = subprocess.run(
      [sys.executable, "-c", program], capture_output=True, text=True
  )
  assert found.stdout.strip() == "[]", found.stderr


def test_the_folder_can_be_moved(copy):
  assert str(copy.parent) not in "".join(
      path.read_text() for path in copy.rglob("*.json")
  )
  assert len(open_dataset(copy).source("test")[0]["pair"]) > 0


def test_a_split_that_is_not_there_is_named(folder):
  for call in (open_dataset(folder).source, open_dataset(folder).sequences):
    with pytest.raises(UserError, match="no split 'dev'; it has train, test."):
      call("dev")


def test_a_folder_that_is_no_dataset_is_refused(tmp_path):
  (tmp_path / "file").write_text("")
  for name, message in {
      "nothing": "nothing: no such dataset folder. Run experiments/prepare.py",
      "file": r"file: is a file, not a dataset folder. Make one from a log",
      ".": r"is not a dataset folder or was not finished \(no dataset.json\)",
  }.items():
    with pytest.raises(UserError, match=message):
      open_dataset(tmp_path / name)


@pytest.mark.parametrize("content", ["", "[1]", '{"a": 1}', '{"schema_ver'])
def test_a_description_that_is_none_is_refused(copy, content):
  (copy / "dataset.json").write_text(content)
  with pytest.raises(UserError, match=r"\.json: (cannot be read|is not a )"):
    open_dataset(copy)


@pytest.mark.parametrize(
    ("changes", "command"),
    [
        (
            {"command": "python experiments/prepare.py --logs a --out b"},
            "python experiments/prepare.py --logs a --out b",
        ),
        (
            {"extras": ["level"], "columns": {"event_id": "act"}, "seed": 3},
            "python experiments/prepare.py --logs log.parquet --out DIR"
            " --split_time 2024-03-16T00:00:00Z --seed 3 --columns event_id=act"
            " --extras level",
        ),
        (
            {
                "unit": "user", "split_time": None, "leave_one_out": True,
                "extras": {"shop": {"kind": "categorical"}}, "sources": [],
            },
            "python experiments/prepare.py --logs LOG --out DIR --unit user"
            " --leave_one_out --extras shop:cat",
        ),
    ],
)  # fmt: skip
def test_another_schema_version_names_the_command(copy, changes, command):
  meta = json.loads((copy / "dataset.json").read_text())
  assert meta["command"] == ""
  meta |= {"schema_version": 2} | changes
  (copy / "dataset.json").write_text(json.dumps(meta))
  with pytest.raises(UserError) as caught:
    open_dataset(copy)
  assert str(caught.value) == (
      f"{copy}: was prepared as schema version 2, and this program reads"
      " version 3. Prepare the log again (folders are left out here):"
      f" {command} --overwrite"
  )


@pytest.mark.parametrize(
    "changes",
    [{"extras": {"level": {}}}, {"extras": {"level": None}}, {"sources": [3]},
     {"columns": 7}],
)  # fmt: skip
def test_a_damaged_description_of_another_version_is_refused(copy, changes):
  meta = json.loads((copy / "dataset.json").read_text())
  meta |= {"schema_version": None} | changes
  (copy / "dataset.json").write_text(json.dumps(meta))
  with pytest.raises(UserError, match="dataset.json: its content has changed"):
    open_dataset(copy)


def files():
  return [
      "pairs.parquet",
      "sequences.parquet",
      "report.json",
      "tfds/event_log/3.0.0/features.json",
      "tfds/event_log/3.0.0/event_log-train.array_record-00000-of-00001",
  ]


@pytest.mark.parametrize("name", files())
def test_a_missing_file_is_named(copy, name):
  (copy / name).unlink()
  with pytest.raises(UserError) as caught:
    open_dataset(copy)
  assert str(caught.value) == (
      f"{copy / name}: missing. The dataset is damaged. Run"
      " experiments/prepare.py again."
  )


@pytest.mark.parametrize("name", files())
def test_a_cut_off_file_is_named(copy, name):
  size = (copy / name).stat().st_size
  with (copy / name).open("r+b") as file:
    file.truncate(size - 1)
  with pytest.raises(UserError) as caught:
    open_dataset(copy)
  assert str(caught.value) == (
      f"{copy / name}: has {size - 1:,} bytes instead of {size:,}. The dataset"
      " is damaged. Run experiments/prepare.py again."
  )


def test_every_file_but_the_description_is_recorded(folder):
  names = {
      path.relative_to(folder).as_posix()
      for path in folder.rglob("*")
      if path.is_file()
  }
  recorded = set(open_dataset(folder).meta["files"])
  assert names - recorded == {dataset_lib.META_FILE}
  assert names >= {"quarantine.jsonl", "report.md", "report.json", *files()}


def test_the_leftover_of_a_run_is_never_opened(copy):
  leftover = copy.rename(copy.with_name("out.building-123"))
  with pytest.raises(UserError, match="is the leftover of an unfinished exper"):
    open_dataset(leftover)


def test_verify_names_every_damaged_file_not_the_first_alone(copy):
  names = ["report.md", *files()]
  for name in names:
    with (copy / name).open("ab") as file:
      file.write(b" ")
  with pytest.raises(UserError) as caught:
    dataset_lib.verify(copy, CommandProgress(quiet=True))
  for name in names:
    assert str(copy / name) in str(caught.value)


def test_a_shard_of_another_dataset_is_refused_when_it_is_opened(copy):
  """Its records are whole, and it is as long: the sample tells."""
  name = files()[-1]
  shard = copy / name
  data = bytearray(shard.read_bytes())
  data[::7] = bytes(len(data[::7]))
  shard.write_bytes(data)
  with pytest.raises(UserError, match="bytes have changed") as caught:
    open_dataset(copy)
  assert str(shard) in str(caught.value)

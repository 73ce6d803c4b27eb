import json
import os
import struct

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from behavior_lm.common.errors import UserError
from behavior_lm.interop.folder import new_folder
from behavior_lm.interop.folder import read_folder
from behavior_lm.interop.folder import write_folder

TENSORS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "b": np.asarray([1.5], np.float16),
    "c": np.arange(4),
}


@pytest.fixture
def folder(tmp_path):
  write_folder(tmp_path / "model", {"model_type": "bert"}, TENSORS)
  return tmp_path / "model"


def shard(folder, weight_map=None, files=None):
  """Cuts a folder's weights into two files and an index."""
  (folder / "model.safetensors").unlink()
  files = files or {"1.safetensors": ["a"], "2.safetensors": ["b", "c"]}
  for name, keys in files.items():
    tensors = {k: np.ascontiguousarray(TENSORS[k]) for k in keys}
    save_file(tensors, folder / name)
  if weight_map is None:
    weight_map = {key: name for name, keys in files.items() for key in keys}
  (folder / "model.safetensors.index.json").write_text(
      json.dumps({"metadata": {}, "weight_map": weight_map})
  )


def check(tensors):
  assert tensors.keys() == TENSORS.keys()
  for key in TENSORS:
    assert tensors[key].dtype == TENSORS[key].dtype
    np.testing.assert_array_equal(tensors[key], TENSORS[key])


def test_what_is_written_is_read(folder):
  config, tensors = read_folder(folder)
  assert config == {"model_type": "bert"}
  check(tensors)
  assert sorted(path.name for path in folder.iterdir()) == [
      "config.json", "model.safetensors",
  ]


def test_several_files_behind_an_index_are_read(folder):
  shard(folder)
  check(read_folder(folder)[1])


@pytest.mark.parametrize(
    "name",
    [
        "../2.safetensors",
        "/etc/2.safetensors",
        "below/2.safetensors",
        "..\\2.safetensors",
        "2.bin",
        "..",
        "",
        7,
        None,
    ],
)
def test_an_index_cannot_lead_elsewhere(folder, name):
  shard(folder, {"a": "1.safetensors", "b": name, "c": "2.safetensors"})
  # There is something to find outside.
  (folder / "2.safetensors").replace(folder.parent / "2.safetensors")
  with pytest.raises(UserError, match="b is said to lie in .*no .safetens"):
    read_folder(folder)


def test_an_index_that_disagrees_with_its_files_names_each_tensor(folder):
  shard(folder, {"a": "1.safetensors", "b": "1.safetensors"})
  (folder / "2.safetensors").unlink()
  with pytest.raises(UserError, match=r"json: b: not in 1.safetensors\."):
    read_folder(folder)


def test_a_tensor_that_the_index_lacks_is_named(folder):
  shard(folder, {"a": "1.safetensors", "b": "2.safetensors"})
  with pytest.raises(UserError, match="c: in 2.safetensors, which the index"):
    read_folder(folder)


def test_a_missing_shard_is_named(folder):
  shard(folder)
  (folder / "2.safetensors").unlink()
  with pytest.raises(UserError, match="2.safetensors: missing, but the index"):
    read_folder(folder)


def cut(path, size):
  path.write_bytes(path.read_bytes()[:size])


def lie_about_length(path):
  path.write_bytes(struct.pack("<Q", 2**40) + path.read_bytes()[8:])


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: cut(path, -1),
        lambda path: cut(path, 20),
        lambda path: cut(path, 3),
        lambda path: cut(path, 0),
        lambda path: path.write_bytes(path.read_bytes() + b"more"),
        lambda path: path.write_bytes(b"PK\x03\x04" * 40),
        lie_about_length,
    ],
)
def test_a_damaged_file_is_a_clear_error(folder, damage):
  damage(folder / "model.safetensors")
  with pytest.raises(UserError, match="model.safetensors: not a whole safe"):
    read_folder(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "config.json: not readable as JSON"),
        ("[]", "config.json: holds a JSON list"),
        (None, "no config.json, so no Hugging Face folder"),
    ],
)
def test_a_damaged_config_is_a_clear_error(folder, text, message):
  if text is None:
    (folder / "config.json").unlink()
  else:
    (folder / "config.json").write_text(text)
  with pytest.raises(UserError, match=message):
    read_folder(folder)


def test_a_pickle_is_not_opened(folder):
  (folder / "model.safetensors").replace(folder / "pytorch_model.bin")
  with pytest.raises(UserError, match="pytorch_model.bin, which is a pickle"):
    read_folder(folder)
  (folder / "pytorch_model.bin").unlink()
  with pytest.raises(UserError, match="no model.safetensors, nor an index"):
    read_folder(folder)
  with pytest.raises(UserError, match="no such folder"):
    read_folder(folder / "none")


def test_a_folder_that_was_not_filled_is_not_there(tmp_path):
  with pytest.raises(KeyboardInterrupt):
    with new_folder(tmp_path / "new") as building:
      (building / "half").write_text("")
      raise KeyboardInterrupt
  assert os.listdir(tmp_path) == []


def test_a_folder_in_use_is_refused(tmp_path):
  (tmp_path / "file").write_text("")
  (tmp_path / "b.building").mkdir()
  for name, message in {
      "file": "is a file",
      "": "not empty",
      "b": "left from a run",
  }.items():
    with pytest.raises(UserError, match=message):
      write_folder(tmp_path / name, {}, {})
  (tmp_path / "empty").mkdir()
  write_folder(tmp_path / "empty", {}, TENSORS)
  check(read_folder(tmp_path / "empty")[1])


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_weights_that_are_no_numbers_are_refused_by_name(
    tmp_path, value, dtype
):
  broken = np.asarray([1.0, value, 2.0]).astype(jnp.dtype(dtype))
  write_folder(tmp_path / "model", {}, TENSORS | {"broken": broken})
  with pytest.raises(UserError, match="1 of 3 numbers of the tensor broken"):
    read_folder(tmp_path / "model")

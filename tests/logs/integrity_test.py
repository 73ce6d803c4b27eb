import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.common.files import sha256
from behavior_lm.logs import integrity


def test_files_are_described_by_size_and_hash(tmp_path):
  (tmp_path / "a").mkdir()
  (tmp_path / "a" / "b").write_bytes(b"abc")
  (tmp_path / "c").write_bytes(b"")
  found = integrity.describe_files(tmp_path, {"c": "known before"})
  assert found == {
      "a/b": {
          "bytes": 3,
          "sha256": sha256(tmp_path / "a" / "b"),
          "sample": integrity.sample_sha256(tmp_path / "a" / "b"),
      },
      "c": {
          "bytes": 0,
          "sha256": "known before",
          "sample": integrity.sample_sha256(tmp_path / "c"),
      },
  }


def test_a_file_of_one_size_with_other_bytes_is_told_by_its_sample(tmp_path):
  rng = np.random.default_rng(0)
  file = tmp_path / "shard"
  file.write_bytes(rng.bytes(300_000))
  recorded = integrity.describe_files(tmp_path)["shard"]
  integrity.check_sample(tmp_path, "shard", recorded)
  file.write_bytes(rng.bytes(300_000))
  with pytest.raises(UserError, match="shard: its bytes have changed"):
    integrity.check_sample(tmp_path, "shard", recorded)
  # Older datasets have none.
  del recorded["sample"]
  integrity.check_sample(tmp_path, "shard", recorded)


def test_the_first_and_the_last_byte_are_in_the_sample(tmp_path):
  file = tmp_path / "shard"
  found = set()
  for place in (None, 0, 299_999):
    data = bytearray(300_000)
    if place is not None:
      data[place] = 1
    file.write_bytes(data)
    found.add(integrity.sample_sha256(file))
  assert len(found) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"ab", "file: has 2 bytes instead of 3. The dataset is damaged."),
        (b"abd", "file: its bytes have changed since it was written"),
        (None, "file: missing. The dataset is damaged. Run experiments/prep"),
    ],
)
def test_a_file_that_is_another_is_named(tmp_path, content, message):
  file = tmp_path / "file"
  file.write_bytes(b"abc")
  recorded = integrity.describe_files(tmp_path)["file"]
  integrity.check_file(tmp_path, "file", recorded)
  if content is None:
    file.unlink()
  else:
    file.write_bytes(content)
  with pytest.raises(UserError, match=message):
    integrity.check_file(tmp_path, "file", recorded)


def test_the_hash_of_a_description_is_over_everything_else_in_it():
  meta = {"a": 1, "b": [2, 3]}
  own = integrity.self_hash(meta)
  assert own == integrity.self_hash({"b": [2, 3], "self_hash": "x", "a": 1})
  assert own != integrity.self_hash(meta | {"c": 0})

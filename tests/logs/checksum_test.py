import copy
import hashlib

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import polars as pl

from behavior_lm.common.files import sha256
from behavior_lm.logs import checksum
from behavior_lm.logs import schema

_KINDS = {"level": schema.NUMERIC, "place": schema.CATEGORICAL}


def example(n=5, user="u"):
  return {
      "user_id": user,
      "start": 10**15,
      "pair": np.arange(n, dtype=np.int32),
      "timestamp": 10**15 + np.arange(n),
      "level": np.array([np.nan, *range(1, n)]),
      "place": np.arange(-1, n - 1, dtype=np.int32),
  }


def changes():
  """The example with one thing in it different, whatever it is."""
  for name, value in example().items():
    changed = copy.deepcopy(example())
    if isinstance(value, np.ndarray):
      changed[name][3] += 1
    else:
      changed[name] = value + ("x" if isinstance(value, str) else 1)
    yield name, changed


def test_every_change_of_an_example_changes_its_crc_and_its_hash():
  crc = checksum.example_crc(example(), 7, _KINDS)
  digest = checksum.example_hash("train", example(), _KINDS)
  assert crc == checksum.example_crc(example(), 7, _KINDS)
  assert crc != checksum.example_crc(example(), 8, _KINDS)
  assert digest != checksum.example_hash("test", example(), _KINDS)
  assert len(list(changes())) == 6
  for name, changed in changes():
    assert checksum.example_crc(changed, 7, _KINDS) != crc, name
    assert checksum.example_hash("train", changed, _KINDS) != digest, name


def test_hashes_do_not_depend_on_how_an_array_lies_in_memory():
  spread = example()
  for name in ("pair", "timestamp", "level", "place"):
    wide = np.zeros(2 * len(spread[name]), spread[name].dtype)
    wide[::2] = spread[name]
    spread[name] = wide[::2]
  assert checksum.example_crc(spread, 0, _KINDS) == checksum.example_crc(
      example(), 0, _KINDS
  )


@given(st.lists(st.integers(0, 2**256 - 1), max_size=8), st.randoms())
def test_a_total_depends_on_no_order_and_no_grouping(hashes, random):
  shuffled = hashes.copy()
  random.shuffle(shuffled)
  cut = random.randint(0, len(hashes))
  halves = [checksum.total(shuffled[:cut]), checksum.total(shuffled[cut:])]
  assert checksum.total(halves) == checksum.total(hashes)
  assert len(checksum.to_hex(checksum.total(hashes))) == 64


def test_pairs_that_read_the_same_when_joined_have_other_hashes():
  hashes = {
      checksum.pairs_hash(
          pl.DataFrame(
              pairs,
              schema={"event_id": pl.String, "design_id": pl.String},
              orient="row",
          )
      )
      for pairs in ([("ab", "c")], [("a", "bc")], [("a", "b"), ("c", "")], [])
  }
  assert len(hashes) == 4


def test_a_file_is_hashed_while_it_is_written(tmp_path):
  file = checksum.HashingFile(tmp_path / "file")
  file.write(b"ab")
  file.write(memoryview(b"c"))
  assert file.size == 3
  assert file.close() == hashlib.sha256(b"abc").hexdigest()
  assert (tmp_path / "file").read_bytes() == b"abc"
  assert sha256(tmp_path / "file") == checksum.to_hex(
      checksum.text_hash("abc")
  )

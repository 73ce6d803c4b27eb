from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import polars as pl
import pytest

from behavior_lm.common import resumable
from behavior_lm.common.errors import Interrupted
from behavior_lm.logs import schema
from behavior_lm.logs import splits
from behavior_lm.logs.stages import spill

_KINDS = {"level": schema.NUMERIC}
_BATCH = st.lists(
    st.tuples(
        st.integers(0, 9).map("u{}".format),
        st.integers(0, 5),
        st.integers(0, 3),
    ),
    max_size=30,
)


def make(batch):
  users, pairs, times = zip(*batch, strict=True) if batch else ((), (), ())
  return spill.make_rows(
      pl.Series(users, dtype=pl.String),
      np.array(pairs, np.int32),
      np.array(times, np.int64),
      {"level": np.array(pairs, np.float64) / 2},
      _KINDS,
  )


def write(folder, batches, bits):
  """One reading task's files, with many chunks; and how they are described."""
  writer = spill.SpillWriter(folder / "0", bits)
  for chunk in spill.chunks(map(make, batches), bits):
    writer.add(chunk)
  return writer.close(folder)


def read(folder, partition):
  pieces = spill.StoredPieces(folder / "0", partition, _KINDS)
  chunks = list(pieces.rows())
  assert sum(len(rows) for rows in chunks) == pieces.num_rows
  names = dict(spill.unique_users(pieces.users()).iter_rows())
  return [
      (names[row["user"]], int(row["pair"]), int(row["time"]))
      for rows in chunks
      for row in rows
  ], chunks


@pytest.mark.slow
@given(st.lists(_BATCH, max_size=5), st.sampled_from([0, 1, 7]))
def test_partitions_hold_all_rows_in_the_order_of_the_log(
    tmp_path_factory, batches, bits
):
  folder = tmp_path_factory.mktemp("spill")
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(spill, "MIN_CHUNK_ROWS", 10)
    patch.setattr(spill, "PIECE_ROWS", 0)
    outputs = write(folder, batches, bits)
  assert [file.name for file in outputs] == ["0.rows", "0.users", "0.index.npy"]
  for file in outputs:
    assert resumable.output(folder, folder / file.name) == file
  given_rows = [row for batch in batches for row in batch]
  for partition in range(1 << bits):
    found, chunks = read(folder, partition)
    assert found == [
        row
        for row in given_rows
        if splits.stable_hash(row[0]) >> 64 - bits == partition
    ]
    for rows in chunks:
      assert rows["extra level"].tolist() == [p / 2 for p in rows["pair"]]


def test_the_number_of_partitions_follows_the_rows():
  counts = (0, 1, 2_000_000, 5_000_000, 10**8, 10**12)
  assert [spill.partition_bits(n) for n in counts] == [0, 0, 0, 2, 6, 12]


def test_a_flipped_byte_between_two_stages_is_named(tmp_path):
  write(tmp_path, [[(f"u{n}", n, n) for n in range(200)]], 2)
  path = tmp_path / "0.rows"
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 4
  path.write_bytes(content)
  with pytest.raises(Interrupted, match=f"{path}: has changed since it was"):
    for partition in range(4):
      read(tmp_path, partition)


def test_two_users_of_one_hash_are_noticed(monkeypatch):
  monkeypatch.setattr(
      splits, "stable_hashes", lambda texts: np.zeros(len(texts), np.uint64)
  )
  _, users = make([("u", 0, 0), ("v", 0, 0)])
  with pytest.raises(RuntimeError, match="two user ids have the same 64-bit"):
    spill.unique_users([users])

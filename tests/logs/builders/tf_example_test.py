from hypothesis import given
from hypothesis import strategies as st
import numpy as np
from tensorflow_datasets.proto import tf_example_pb2

from behavior_lm.logs import schema
from behavior_lm.logs.builders import tf_example

_KINDS = {"level": schema.NUMERIC, "place": schema.CATEGORICAL}
_INT64 = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 300),
    st.integers(0, 63).map(lambda bits: 2**bits - 1),
    st.integers(0, 62).map(lambda bits: 2**bits),
)


@given(st.lists(_INT64, max_size=20))
def test_many_numbers_are_encoded_like_each_alone(numbers):
  data, ends = tf_example.varints(np.array(numbers, np.int64))
  begins = [0, *ends.tolist()][:-1] if numbers else []
  found = [data[b:e] for b, e in zip(begins, ends.tolist(), strict=True)]
  assert found == [tf_example.varint(number) for number in numbers]
  assert b"".join(found) == data


def test_numbers_in_several_blocks_are_one_run(monkeypatch):
  numbers = np.arange(1_000) * 77
  want = tf_example.varints(numbers)
  monkeypatch.setattr(tf_example, "_BLOCK", 7)
  got = tf_example.varints(numbers)
  assert got[0] == want[0]
  np.testing.assert_array_equal(got[1], want[1])


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
            st.lists(_INT64, min_size=1, max_size=5),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_protobuf_reads_what_is_written(rows):
  examples = [
      {
          "user_id": user,
          "start": times[0],
          "pair": np.array(times, np.int64).astype(np.int32) & 0x7FFFFFFF,
          "timestamp": np.array(times, np.int64),
          "level": np.array(times, np.float64),
          "place": np.array(times, np.int64).astype(np.int32),
      }
      for user, times in rows
  ]
  checksums = [7 * number for number in range(len(rows))]
  records = tf_example.encode(examples, checksums, "_sum", _KINDS)
  for example, crc, record in zip(examples, checksums, records, strict=True):
    found = tf_example_pb2.Example.FromString(record).features.feature
    assert found["user_id"].bytes_list.value[0].decode() == example["user_id"]
    assert list(found["start"].int64_list.value) == [example["start"]]
    assert list(found["_sum"].int64_list.value) == [crc]
    for name in ("pair", "timestamp"):
      assert list(found[name].int64_list.value) == example[name].tolist()
    for name, kind in _KINDS.items():
      [stored] = found[name].bytes_list.value
      values = np.frombuffer(stored, schema.EXTRA_DTYPES[kind])
      assert values.tolist() == example[name].tolist()
    assert len(found) == 7

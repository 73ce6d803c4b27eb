"""Checksums of arrays and JSON: every changed bit is seen."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.training import checksums


@pytest.mark.parametrize(
    "dtype", [jnp.float32, jnp.bfloat16, jnp.int32, jnp.uint8, jnp.bool_]
)
def test_every_flipped_bit_is_seen(dtype):
  values = np.asarray(jnp.arange(6).reshape(2, 3).astype(dtype))
  saved = checksums.of_arrays({"a": values, "b": {"c": values}})
  assert list(saved) == ["a", "b/c"]
  for bit in range(8 * values.nbytes):
    other = values.copy()
    other.reshape(-1).view(np.uint8)[bit // 8] ^= 1 << bit % 8
    found = checksums.of_arrays({"a": values, "b": {"c": other}})
    assert checksums.changed(saved, found) == ["b/c"]


def test_a_checksum_does_not_depend_on_where_an_array_lies():
  values = np.arange(12, dtype=np.float32).reshape(3, 4)
  ours = checksums.of_arrays({"a": values, "n": np.int32(3)})
  there = {"a": jnp.asarray(values), "n": jnp.asarray(3, jnp.int32)}
  assert checksums.of_arrays(there) == ours
  transposed = np.ascontiguousarray(values.T).T
  assert checksums.of_arrays({"a": transposed})["a"] == ours["a"]


def test_another_dtype_cannot_be_compared_and_a_new_array_is_none():
  saved = checksums.of_arrays({"a": np.ones(3, np.float32)})
  half = checksums.of_arrays({"a": np.ones(3, np.float16)})
  assert checksums.changed(saved, half) == []
  assert checksums.changed(saved, saved) == []
  assert checksums.changed({}, saved) == ["a"]


def test_json_is_the_same_after_a_file():
  value = {"b": (1, 2), "a": {3: 0.1, "nan": float("nan")}}
  read = json.loads(json.dumps(value))
  assert checksums.of_json(read) == checksums.of_json(value)
  assert checksums.of_json({"b": [1, 3]}) != checksums.of_json({"b": [1, 2]})


def test_arrays_of_several_devices_are_read_whole():
  """A sharded array has the checksum of the whole."""
  mesh = jax.make_mesh((len(jax.devices()),), ("x",))
  place = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x"))
  values = np.arange(8 * len(jax.devices()), dtype=np.float32)
  spread = jax.device_put(values, place)
  assert checksums.of_arrays({"a": spread}) == checksums.of_arrays(
      {"a": values}
  )

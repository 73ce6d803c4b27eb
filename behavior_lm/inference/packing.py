"""Several arrays in one, so that a request is one copy to the device."""

from collections.abc import Mapping
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Shapes = Mapping[str, tuple[tuple[int, ...], np.dtype]]


def pack(arrays: Mapping[str, np.ndarray], shapes: Shapes) -> np.ndarray:
  """[numbers] int32: whole numbers as they are, floats by their bits.

  Args:
    arrays: of the shapes, in any order.
    shapes: {name: (shape, int32 or float32)}.

  Raises:
    ValueError: if an array has another shape.
  """
  out = np.empty(sum(math.prod(shape) for shape, _ in shapes.values()), "int32")
  at = 0
  for name, (shape, dtype) in shapes.items():
    values = np.asarray(arrays[name], dtype)
    if values.shape != shape:
      raise ValueError(f"{name} has the shape {values.shape}, not {shape}")
    size = math.prod(shape)
    out[at : at + size] = values.reshape(-1).view(np.int32)
    at += size
  return out


def unpack(packed: jax.Array, shapes: Shapes) -> dict[str, Any]:
  """The arrays again, inside of a compiled program."""
  found, at = {}, 0
  for name, (shape, dtype) in shapes.items():
    size = math.prod(shape)
    values = packed[at : at + size].reshape(shape)
    if np.dtype(dtype) == np.float32:
      values = jax.lax.bitcast_convert_type(values, jnp.float32)
    found[name] = values
    at += size
  return found

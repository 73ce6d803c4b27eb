"""Vectors in fewer bytes: float16, or int8 with one scale per vector."""

from collections.abc import Callable
import dataclasses

import numpy as np

from behavior_lm.common.errors import UserError

_INT8_MAX = 127


@dataclasses.dataclass(frozen=True)
class Encoded:
  """Vectors as they are kept.

  Attributes:
    values: [n, dim] of the kept type.
    scales: [n] float32; a vector is its values times its scale. None where
      the values are the vector.
  """

  values: np.ndarray
  scales: np.ndarray | None = None


def decode(encoded: Encoded) -> np.ndarray:
  """[n, dim] float32."""
  values = encoded.values.astype(np.float32)
  if encoded.scales is None:
    return values
  return values * encoded.scales[:, None]


def _float32(vectors: np.ndarray) -> Encoded:
  return Encoded(vectors.astype(np.float32))


def _float16(vectors: np.ndarray) -> Encoded:
  largest = np.finfo(np.float16).max
  bad = (np.abs(vectors) > largest).any(axis=1)
  if bad.any():
    row = int(np.argmax(bad))
    raise UserError(
        f"vector {row} holds {float(np.abs(vectors[row]).max()):g}, but float16"
        f" ends at {float(largest):g}. Keep these vectors as int8 or float32."
    )
  return Encoded(vectors.astype(np.float16))


def _int8(vectors: np.ndarray) -> Encoded:
  vectors = vectors.astype(np.float32)
  scales = np.abs(vectors).max(axis=1, initial=0) / np.float32(_INT8_MAX)
  with np.errstate(over="ignore"):
    ends = np.isinf(scales * np.float32(_INT8_MAX))
  # Next to the end of float32, the product may be rounded beyond it.
  scales = np.where(ends, np.nextafter(scales, np.float32(0)), scales)
  divisors = np.where(scales > 0, scales, 1)[:, None]
  values = np.rint(vectors / divisors).clip(-_INT8_MAX, _INT8_MAX)
  return Encoded(values.astype(np.int8), scales)


# Each takes finite [n, dim] float32. The error of a coordinate x is at most
# |x| / 2048 for float16 (2**-25 near zero), and half a scale for int8: the
# largest |x| of its vector / 254.
ENCODINGS: dict[str, Callable[[np.ndarray], Encoded]] = {
    "float32": _float32,
    "float16": _float16,
    "int8": _int8,
}


def encode(vectors: np.ndarray, dtype: str) -> Encoded:
  """Encodes finite vectors [n, dim] as one of ENCODINGS.

  Raises:
    UserError: if there is no such type, or float16 cannot hold a value.
  """
  if dtype not in ENCODINGS:
    raise UserError(
        f"--dtype {dtype!r}; known are {', '.join(ENCODINGS)} for vectors."
    )
  return ENCODINGS[dtype](vectors)

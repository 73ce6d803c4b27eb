"""The device that programs are traced for."""

from typing import NamedTuple

import jax


class Target(NamedTuple):
  """A kind of device.

  Attributes:
    platform: cpu, tpu, cuda, rocm.
    num_devices: that a program may be divided among.
    capability: NVIDIA's number for what a GPU can do; 0 elsewhere.
  """

  platform: str
  num_devices: int = 1
  capability: float = 0.0


def find_target() -> Target:
  """The device that jax starts with: the same throughout a process."""
  device = jax.devices()[0]
  count = jax.device_count()
  if device.platform != "gpu":
    return Target(device.platform, count)
  if "cuda" not in device.client.platform_version:
    return Target("rocm", count)
  return Target("cuda", count, float(device.compute_capability))

"""Processes that see several devices on one machine."""

import os


def several_devices(count: int) -> str:
  """XLA_FLAGS of such a process, with those of the tests."""
  own = f"--xla_force_host_platform_device_count={count}"
  return f"{os.environ.get('XLA_FLAGS', '')} {own}".strip()

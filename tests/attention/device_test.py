import jax
import pytest

from behavior_lm.attention import device
from behavior_lm.attention.device import find_target
from behavior_lm.attention.device import Target


class Client:
  def __init__(self, version):
    self.platform_version = version


class Device:
  def __init__(self, platform, version="", **more):
    self.platform = platform
    self.client = Client(version)
    self.__dict__.update(more)


@pytest.mark.parametrize(
    ("first", "want"),
    [
        (Device("cpu"), Target("cpu", 2)),
        (Device("tpu"), Target("tpu", 2)),
        (
            Device("gpu", "PJRT C API\ncuda 13000", compute_capability="8.6"),
            Target("cuda", 2, 8.6),
        ),
        (
            Device("gpu", "rocm 70000", compute_capability="gfx942"),
            Target("rocm", 2),
        ),
    ],
    ids=["cpu", "tpu", "cuda", "rocm"],
)
def test_a_gpu_is_told_by_its_maker(monkeypatch, first, want):
  monkeypatch.setattr(device.jax, "devices", lambda: [first, first])
  monkeypatch.setattr(device.jax, "device_count", lambda: 2)
  assert find_target() == want


def test_this_machine_is_found():
  assert find_target().platform in ("cpu", "cuda", "rocm", "tpu")
  assert find_target().num_devices == jax.device_count()

"""Random damage of a folder, and how much of it a run of the tests tries.

Every fuzzer draws `damages()`, copies a valid folder with `damaged`, and reads
it: the result is the right one, or one UserError.

`make fuzz` sets BEHAVIOR_LM_FUZZ, the number of inputs per property.
"""

import contextlib
import json
import os
from pathlib import Path
import resource
import shutil
import struct
import tempfile

from hypothesis import HealthCheck
from hypothesis import settings
from hypothesis import strategies as st

_COUNT = int(os.environ.get("BEHAVIOR_LM_FUZZ", "0"))
# Kilobytes that reading a damaged small folder may take.
_MOST_MEMORY = 1 << 21
_ODD = [
    None, True, -1, 0, 1, 2, 0.5, 1e308, 10**30, 2**31, float("nan"),
    float("inf"), "", "x", "1", "\0", "../../etc/passwd", "/etc/passwd", [], {},
    [[]], [None], ["x", "x"], {"x": 1}, "\ud800",
]  # fmt: skip
_PLACE = st.integers(0, 9_999).map(lambda place: place / 10_000)
_BYTES = st.binary(max_size=6) | st.sampled_from([
    b"\n", b"\0" * 64, b'"', b"{", b"1e999", b"\xff\xfe", b"NaN", b"[" * 3_000,
])  # fmt: skip
_ACT = st.one_of(
    st.tuples(st.just("cut"), _PLACE),
    st.tuples(st.just("bytes"), _PLACE, _BYTES, st.integers(0, 6)),
    st.tuples(st.just("file"), st.sampled_from([
        "delete", "empty", "folder", "broken link", "loop", "swap", "twice",
        "extra",
    ])),
    st.tuples(st.just("value"), _PLACE, st.sampled_from(_ODD)),
    st.tuples(st.just("value"), _PLACE, st.sampled_from(_ODD)),
    st.tuples(st.just("key"), _PLACE),
    st.tuples(st.just("flip"), _PLACE, st.integers(0, 7)),
)  # fmt: skip


def fuzz(few):
  """Settings of a property: `few` inputs, the same ones in each run."""
  return settings(
      max_examples=_COUNT or few,
      derandomize=not _COUNT,
      deadline=None,
      database=None,
      suppress_health_check=list(HealthCheck),
  )


def damages(most=3):
  """Lists of (which file, what is done to it)."""
  return st.lists(st.tuples(_PLACE, _ACT), max_size=most)


@contextlib.contextmanager
def damaged(folder, harm):
  """Yields a damaged copy of a folder, and which files were touched."""
  before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  with tempfile.TemporaryDirectory() as top:
    copy = Path(top) / "copy"
    shutil.copytree(folder, copy)
    files = sorted(path for path in copy.rglob("*") if path.is_file())
    touched = set()
    for place, act in harm:
      path = files[int(place * len(files))]
      touched.add(path.relative_to(copy).as_posix())
      if path.is_file():
        _harm(path, act, files)
    yield copy, touched
  after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  assert after - before < _MOST_MEMORY


def _harm(path, act, files):
  what, *how = act
  if what == "file":
    return _replace(path, how[0], files)
  data = path.read_bytes()
  if what == "cut":
    path.write_bytes(data[: int(how[0] * len(data))])
  elif what == "bytes":
    place, put, instead = how
    at = int(place * len(data))
    path.write_bytes(data[:at] + put + data[at + instead :])
  elif what == "flip":
    place, bit = how
    at = int(place * len(data))
    path.write_bytes(
        data[:at] + bytes(byte ^ 1 << bit for byte in data[at : at + 1])
        + data[at + 1 :]
    )
  else:
    path.write_bytes(_edited(path, data, how))
  return None


def _replace(path, how, files):
  if how == "swap":
    path.write_bytes(files[0].read_bytes() if files[0].is_file() else b"")
    return
  data = path.read_bytes()
  if how == "extra":
    path.with_name(f"{path.name}.bak").write_bytes(data)
    return
  path.unlink()
  if how == "folder":
    path.mkdir()
  elif how == "broken link":
    path.symlink_to("nowhere")
  elif how == "loop":
    path.symlink_to(path.name)
  elif how == "empty":
    path.touch()
  elif how == "twice":
    path.write_bytes(data * 2)


def _edited(path, data, how):
  """JSON with another value at a place, or without it.

  The header of a safetensors file is JSON too. Other files stay as they are.
  """
  try:
    if path.suffix == ".safetensors":
      size = struct.unpack("<Q", data[:8])[0]
      header = json.dumps(_changed(json.loads(data[8 : 8 + size]), how))
      return struct.pack("<Q", len(header)) + header.encode() + data[8 + size :]
    return json.dumps(_changed(json.loads(data), how)).encode()
  except (ValueError, struct.error, UnicodeEncodeError, RecursionError):
    return data


def _changed(content, how):
  place, *value = how
  places = list(_places(content))
  if not places:
    return value[0] if value else None
  inside, key = places[int(place * len(places))]
  if value:
    inside[key] = value[0]
  else:
    del inside[key]
  return content


def _places(content):
  keys = []
  if isinstance(content, dict):
    keys = list(content)
  elif isinstance(content, list):
    keys = range(len(content))
  for key in keys:
    yield content, key
    yield from _places(content[key])

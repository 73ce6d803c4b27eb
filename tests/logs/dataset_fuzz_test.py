"""Damage of dataset folders: the same sequences, or one message."""

from hypothesis import given
from hypothesis import strategies as st
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.common.progress import CommandProgress
from behavior_lm.logs import dataset as dataset_lib
from tests.damage import damaged
from tests.damage import damages
from tests.damage import fuzz
from tests.logs.support import log_files

# The fixtures of this file take seconds.
pytestmark = pytest.mark.slow


def _prepare(folder, order):
  """The order tells two datasets apart that are of the same sizes."""
  rows = [
      (f"u{n % 5}", f"e{n * order % 7}", None, 2_000.0 * n) for n in range(99)
  ]
  frame = log_files.event_frame(rows).with_columns(
      level=1.5, shop=pl.lit(f"shop {order}")
  )
  frame.write_parquet(folder / "log.parquet")
  log_files.prepare(
      folder / "log.parquet", folder / "out", split_time="2024-03-05",
      extras=("level", "shop:cat"),
  )  # fmt: skip
  return folder / "out"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
  """A dataset, what can be read of it, and another dataset."""
  path = _prepare(tmp_path_factory.mktemp("one"), 1)
  other = _prepare(tmp_path_factory.mktemp("other"), 3)
  return path, log_files.contents(dataset_lib.open_dataset(path)), other


def _names(folder):
  return sorted(
      path.relative_to(folder).as_posix()
      for path in folder.rglob("*")
      if path.is_file()
  )


def _take(copy, other, places):
  """Replaces files by those of another dataset; returns their names."""
  names = _names(other)
  taken = {names[int(place * len(names))] for place in places}
  for name in taken:
    path = copy / name
    if path.is_file():
      path.write_bytes((other / name).read_bytes())
  return taken


def _changed(copy, folder):
  """The files that are not byte for byte those of the dataset."""
  return {
      name
      for name in _names(folder)
      if not (copy / name).is_file()
      or (copy / name).read_bytes() != (folder / name).read_bytes()
  }


_TAKEN = st.lists(st.floats(0, 0.999), max_size=1)


@fuzz(25)
@given(harm=damages(2), taken=_TAKEN)
def test_a_damaged_dataset_reads_as_before_or_is_refused(folders, harm, taken):
  path, want, other = folders
  with damaged(path, harm) as (copy, _):
    _take(copy, other, taken)
    changed = _changed(copy, path)
    try:
      found = log_files.contents(dataset_lib.open_dataset(copy))
    except UserError as error:
      assert any(str(copy / name) in str(error) for name in changed) or (
          dataset_lib.META_FILE in changed and str(copy) in str(error)
      )
      return
  assert found == want


@fuzz(25)
@given(harm=damages(3), taken=_TAKEN)
def test_every_damaged_file_is_named_when_a_dataset_is_verified(
    folders, harm, taken
):
  path, _, other = folders
  with damaged(path, harm) as (copy, _):
    _take(copy, other, taken)
    changed = _changed(copy, path)
    try:
      dataset_lib.verify(copy, CommandProgress(quiet=True))
    except UserError as error:
      # Without the description, nothing is known about the others.
      if dataset_lib.META_FILE in changed:
        changed = {dataset_lib.META_FILE}
        assert str(copy) in str(error)
      else:
        for name in changed:
          assert str(copy / name) in str(error)
    else:
      assert not changed

"""Every file below a folder is listed, or named with the reason."""

import pathlib

import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.logs.readers import folder_listing


def listed(folder):
  found, skipped = folder_listing.list_files(folder)
  return [path.relative_to(folder).as_posix() for path in found], skipped


@pytest.fixture
def folder(tmp_path):
  root = tmp_path / "logs"
  (root / "day1").mkdir(parents=True)
  (root / "day1" / "a.csv").write_text("a")
  (tmp_path / "store").mkdir()
  (tmp_path / "store" / "b.csv").write_text("b")
  return root


def test_linked_folders_and_files_outside_are_part_of_the_log(folder):
  (folder / "day2").symlink_to("../store", target_is_directory=True)
  (folder / "c.csv").symlink_to("../store/b.csv")
  found, skipped = listed(folder)
  # One file under two names: its events count once.
  assert found == ["c.csv", "day1/a.csv"]
  assert skipped == {"day2/b.csv": "the same file as c.csv"}


@pytest.mark.parametrize(
    ("make", "name", "reason"),
    [
        (lambda f: (f / "z").symlink_to("."), "z/", "a link to {f}, read"),
        (lambda f: (f / "a").symlink_to("day1"), "a/", "a link to {f}/day1"),
        (
            lambda f: (f / "0.csv").symlink_to("day1/a.csv"),
            "0.csv",
            "the same file as day1/a.csv",
        ),
        (
            lambda f: (f / "day1/z.csv").hardlink_to(f / "day1/a.csv"),
            "day1/z.csv",
            "the same file as day1/a.csv",
        ),
        (lambda f: (f / "_tmp").mkdir(), "_tmp/", "its name begins with"),
        (lambda f: (f / ".x").write_text(""), ".x", "its name begins with"),
    ],
)
def test_what_is_not_read_is_named(folder, make, name, reason):
  make(folder)
  found, skipped = listed(folder)
  assert found == ["day1/a.csv"]
  assert list(skipped) == [name]
  assert skipped[name].startswith(reason.format(f=folder))


def test_a_link_that_leads_nowhere_is_an_error(folder):
  (folder / "z.csv").symlink_to("gone")
  with pytest.raises(UserError, match=r"z\.csv: is a link that leads nowhere"):
    listed(folder)


def test_a_folder_that_may_not_be_listed_is_an_error(folder, monkeypatch):
  list_it = pathlib.Path.iterdir

  def denied(path):
    if path.name == "day1":
      raise PermissionError(13, "Permission denied")
    return list_it(path)

  monkeypatch.setattr(pathlib.Path, "iterdir", denied)
  with pytest.raises(UserError, match="day1: the folder cannot be listed: Per"):
    listed(folder)


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("event_id=login/a.parquet", {"event_id": "login"}),
        ("a=1/b=2/c=3.parquet", {"a": "1", "b": "2"}),
        ("day=01/x", {"day": "01"}),
        ("e=a%2Fb%20c/x", {"e": "a/b c"}),
        ("e=__HIVE_DEFAULT_PARTITION__/x", {"e": None}),
        ("e=/x", {"e": ""}),
        ("e=a=b/x", {"e": "a=b"}),
        ("=a/plain/x", {}),
    ],
)
def test_the_values_of_folders(name, want):
  assert folder_listing.folder_values(name) == want

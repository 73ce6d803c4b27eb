"""What lies in the folder of a store: one manifest with sizes and hashes.

A store is a folder whose `manifest.json` names its kind, its files and how it
was made. Readers check the files against it before they open them.
"""

from collections.abc import Iterable, Mapping
import json
from pathlib import Path
from typing import Any

from behavior_lm.artifacts.json_files import damage_named
from behavior_lm.artifacts.json_files import read_if_there
from behavior_lm.common.errors import UserError
from behavior_lm.common.files import sha256
from behavior_lm.common.files import write_whole

MANIFEST = "manifest.json"
_VERSION = 1


def describe_files(folder: Path, names: Iterable[str]) -> dict[str, Any]:
  """{name: {"bytes", "sha256"}} of files below `folder`."""
  return {
      name: {
          "bytes": (folder / name).stat().st_size,
          "sha256": sha256(folder / name),
      }
      for name in names
  }


def write_manifest(
    folder: Path,
    store: str,
    files: Mapping[str, Mapping[str, Any]],
    content: Mapping[str, Any],
) -> None:
  """Writes the manifest, as the last file of a store.

  Args:
    folder: of the store.
    store: its kind, "faiss" for example.
    files: see `describe_files`.
    content: what else a reader needs, as JSON.
  """
  head = {"store": store, "format_version": _VERSION}
  text = json.dumps({**head, **content, "files": files}, indent=1)
  write_whole(folder / MANIFEST, text + "\n")


def read_manifest(
    folder: Path, store: str, *, check_hashes: bool = True
) -> dict[str, Any]:
  """Reads the manifest of a store and checks the files that it names.

  Args:
    folder: of the store.
    store: the kind that is expected.
    check_hashes: False compares only the sizes, which reads no file.

  Raises:
    UserError: if this is no such store, or a file is missing or changed.
  """
  path = folder / MANIFEST
  found = read_if_there(path)
  if found is None:
    raise UserError(
        f"{folder}: no {MANIFEST}, so this is no complete store. Make it with"
        f" experiments/export.py --to {store}:{folder}."
    )
  if found.get("store") != store or found.get("format_version") != _VERSION:
    raise UserError(
        f"{path}: is the manifest of a {found.get('store')!r} store in version"
        f" {found.get('format_version')!r} of its format, not of a {store!r}"
        f" store in version {_VERSION}."
    )
  with damage_named(str(path)):
    for name, file in found["files"].items():
      _check_file(folder / name, file["bytes"], file["sha256"], check_hashes)
  return found


def is_store(folder: Path, store: str) -> bool:
  """Whether a folder was written as a store of this kind."""
  try:
    found = read_if_there(folder / MANIFEST)
  except UserError:
    return False
  return found is not None and found.get("store") == store


def _check_file(path: Path, size: int, digest: str, check_hash: bool) -> None:
  if not path.is_file():
    raise UserError(f"{path}: is missing, but the manifest names it.")
  there = path.stat().st_size
  if there != size:
    raise UserError(
        f"{path}: has {there:,} bytes, {size:,} were written: it was truncated"
        " or changed. Export again with --overwrite."
    )
  if check_hash and sha256(path) != digest:
    raise UserError(
        f"{path}: its hash differs from the manifest: it was changed. Export"
        " again with --overwrite."
    )

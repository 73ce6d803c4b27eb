"""Files that are there as a whole, or not at all."""

from pathlib import Path


def write_whole(path: Path, text: str) -> None:
  """Writes a text file that a kill cannot leave half written."""
  temporary = path.with_name(path.name + ".tmp")
  temporary.write_text(text, encoding="utf-8")
  temporary.replace(path)

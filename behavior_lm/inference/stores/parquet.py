"""Vectors as a folder of Parquet files, for warehouses and Spark.

Each shard holds the columns of the table and `embedding`, a list of fixed
length: float32, float16, or int8 with a column `scale` beside it (the vector
is `embedding * scale`). `manifest.json` names all shards with their hashes.
A killed export continues with the shards that are missing.
"""

from collections.abc import Callable, Iterator
import dataclasses
from pathlib import Path
import shutil

import numpy as np
import polars as pl

from behavior_lm.artifacts.vectors import EMBEDDING
from behavior_lm.common import resumable
from behavior_lm.common.errors import first_line
from behavior_lm.common.errors import UserError
from behavior_lm.common.files import whole_file
from behavior_lm.common.lock import LOCK
from behavior_lm.common.progress import CommandProgress
from behavior_lm.inference.stores import manifest
from behavior_lm.inference.stores.encoding import decode
from behavior_lm.inference.stores.encoding import encode
from behavior_lm.inference.stores.encoding import Encoded
from behavior_lm.inference.stores.source import VectorSource

STORE = "parquet"
SCALE = "scale"
_TYPES = {"float32": pl.Float32, "float16": pl.Float16, "int8": pl.Int8}


@dataclasses.dataclass(frozen=True)
class ShardSpec:
  """How vectors are kept.

  Attributes:
    dtype: of the vectors, see `encoding`.
    shard_rows: of each file; the last one has at most as many.
  """

  dtype: str = "float32"
  shard_rows: int = 2**17


def write_shards(
    source: VectorSource,
    out: str | Path,
    spec: ShardSpec | None = None,
    *,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
) -> int:
  """Writes the folder of shards; killed, the next call continues it.

  Args:
    source: the vectors.
    out: the folder.
    spec: how they are kept.
    overwrite: replace shards that are there.
    say: called with a message when shards of an earlier call are kept.

  Returns:
    The number of shards.

  Raises:
    UserError: if `out` is in the way or cannot be written, or a vector cannot
      be kept as `spec` says.
  """
  spec = spec or ShardSpec()
  if spec.shard_rows < 1:
    raise UserError(f"--shard_rows is {spec.shard_rows}; give at least 1.")
  encode(np.zeros((1, 1), np.float32), spec.dtype)  # A UserError if unknown.
  request = [source.fingerprint, dataclasses.asdict(spec)]
  total = -(-source.num_rows // spec.shard_rows)
  progress = CommandProgress()
  with resumable.resumable_folder(
      Path(out),
      overwrite=overwrite,
      is_ours=lambda folder: manifest.is_store(folder, STORE),
      prefix=f"--to {STORE}:",
      kind="Parquet store",
  ) as folder:
    names, kept = [], 0
    for number, (table, vectors) in enumerate(
        source.batches(spec.shard_rows)
    ):
      name = f"part-{number:05}-of-{total:05}.parquet"
      names.append(name)
      if resumable.finished(folder, name, request=request) is not None:
        kept += 1
        continue
      try:
        _write_shard(folder / name, table, vectors, spec.dtype)
      except UserError as error:
        first = number * spec.shard_rows
        raise UserError(f"{source.path}: from row {first}: {error}") from error
      resumable.finish(
          folder,
          name,
          {},
          [resumable.output(folder, folder / name)],
          request=request,
      )
      progress.stage("shards", number + 1, total)
    progress.close()
    if kept:
      say(f"continuing: {kept} of {total} shards are there already")
    _finish(folder, names, source, spec)
  return total


def iter_shards(
    folder: str | Path, *, check_hashes: bool = True
) -> Iterator[tuple[pl.DataFrame, np.ndarray]]:
  """Reads a folder of shards, one shard at a time.

  Args:
    folder: of `write_shards`.
    check_hashes: False trusts files of the right size.

  Yields:
    The table without its vectors, and the vectors [n, dim] float32.

  Raises:
    UserError: naming the shard that is missing, truncated or changed.
  """
  folder = Path(folder)
  found = manifest.read_manifest(folder, STORE, check_hashes=check_hashes)
  for name in found["files"]:
    try:
      table = pl.read_parquet(folder / name)
      values = table[EMBEDDING].to_numpy()
      scales = table[SCALE].to_numpy() if SCALE in table.columns else None
    except (pl.exceptions.PolarsError, OSError) as error:
      raise UserError(
          f"{folder / name}: cannot be read ({first_line(error)})."
      ) from error
    rest = table.drop(EMBEDDING, SCALE, strict=False)
    yield rest, decode(Encoded(values, scales))


def read_shards(folder: str | Path) -> tuple[pl.DataFrame, np.ndarray]:
  """All shards in one, see `iter_shards`."""
  found = list(iter_shards(folder))
  return (
      pl.concat([table for table, _ in found]),
      np.concatenate([vectors for _, vectors in found]),
  )


def _write_shard(
    path: Path, table: pl.DataFrame, vectors: np.ndarray, dtype: str
) -> None:
  encoded = encode(vectors, dtype)
  kind = pl.Array(_TYPES[dtype], vectors.shape[1])
  columns = [pl.Series(EMBEDDING, encoded.values, dtype=kind)]
  if encoded.scales is not None:
    columns.append(pl.Series(SCALE, encoded.scales))
  with whole_file(path) as temporary:
    table.with_columns(columns).write_parquet(temporary)


def _finish(
    folder: Path, names: list[str], source: VectorSource, spec: ShardSpec
) -> None:
  """Writes the manifest; deletes what only a restart needs."""
  for path in folder.iterdir():
    # Shards of a call that was killed and had other settings.
    if path.name not in (*names, LOCK):
      shutil.rmtree(path) if path.is_dir() else path.unlink()
  files = manifest.describe_files(folder, names)
  content = {
      **dataclasses.asdict(spec),
      "rows": source.num_rows,
      "dim": source.dim,
      **source.about,
  }
  manifest.write_manifest(folder, STORE, files, content)

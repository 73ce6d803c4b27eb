"""An encoder as StableHLO, for processes that have only jax and NumPy.

The folder holds one program per length, lowered for CPU, CUDA and TPU with a
free number of rows; the weights, which are arguments of the programs; the
tokenizer; a manifest; and `load_encoder.py`, which runs all of it. A program
stays readable for six months of jax versions: the run folder is the archive.
"""

from collections.abc import Sequence
import dataclasses
import inspect
import math
from pathlib import Path
import re
import sys
from types import ModuleType
from typing import Any

import jax
from jax import export
import jaxlib
import numpy as np

from behavior_lm.common.errors import first_line
from behavior_lm.common.errors import UserError
from behavior_lm.common.folders import atomic_folder
from behavior_lm.common.progress import CommandProgress
from behavior_lm.data.fields import Field
from behavior_lm.data.fields import find_field
from behavior_lm.inference.batching import bucket_lengths
from behavior_lm.inference.embedder import Embedder
from behavior_lm.inference.pooling import make_program
from behavior_lm.inference.stores import manifest
from behavior_lm.inference.stores import stablehlo_loader
from behavior_lm.inference.stores.stablehlo_program import Shapes
from behavior_lm.training.state import split_model

STORE = "stablehlo"
PLATFORMS = ("cpu", "cuda", "tpu")
LOADER = "load_encoder.py"
_WEIGHTS = "weights.npz"
# XLA itself has read this call on every platform for years.
_STABLE_CALLS = ("LayoutConstraint",)
_OWN_IMPORT = re.compile(r"from (behavior_lm[\w.]+) import")


@dataclasses.dataclass(frozen=True)
class ProgramSpec:
  """What is exported.

  Attributes:
    pooling, layer: see `Embedder.encode`.
    lengths: tokens that windows are padded to, CLS included; the model's own
      buckets when empty.
    platforms: on which the programs run.
  """

  pooling: str = "mean"
  layer: int | None = None
  lengths: Sequence[int] = ()
  platforms: Sequence[str] = PLATFORMS


def export_encoder(
    embedder: Embedder,
    out: str | Path,
    spec: ProgramSpec | None = None,
    *,
    overwrite: bool = False,
) -> list[int]:
  """Writes the folder of an encoder, whole or not at all.

  Args:
    embedder: of the run.
    out: the folder.
    spec: what is exported.
    overwrite: replace an export that is there.

  Returns:
    The lengths of the programs.

  Raises:
    UserError: if the request cannot be met or `out` is in the way.
  """
  spec = spec or ProgramSpec()
  pooling = embedder.choose_pooling(spec.pooling)
  layer = embedder.layer_number(spec.layer)
  lengths = _check(spec, embedder.max_length)
  table = embedder.reader.reading.table
  fields = {
      name: find_field(name, table) for name in embedder.run.model_fields
  }
  graphdef, params, model_state = split_model(embedder.run.model.encoder)
  leaves, tree = jax.tree.flatten(
      {"params": params, "model_state": model_state}
  )
  program = make_program(
      graphdef, layer, pooling, lambda encoder: encoder, table=table
  )

  def of_rows(weights: list[jax.Array], batch: dict[str, jax.Array]) -> Any:
    state = jax.tree.unflatten(tree, weights)
    # The kernels count rows in Python, so each program is of one row, and an
    # axis without a fixed length goes around it.
    one = lambda row: program(state, {k: v[None] for k, v in row.items()})[0]
    return jax.vmap(one)(batch)

  progress = CommandProgress()
  with atomic_folder(
      Path(out),
      overwrite=overwrite,
      is_ours=lambda folder: manifest.is_store(folder, STORE),
      prefix=f"--to {STORE}:",
      kind="StableHLO export",
  ) as folder:
    programs = {}
    for number, length in enumerate(lengths):
      progress.stage("programs", number, len(lengths))
      programs[str(length)] = write_program(
          folder / f"encoder_{length}.mlirbc",
          of_rows,
          leaves,
          {k: ((None, length), field.dtype) for k, field in fields.items()},
          spec.platforms,
      )
    progress.close()
    write_weights(folder, leaves)
    embedder.tokenizer.save(folder / "tokenizer")
    copy_loader(folder, stablehlo_loader, LOADER)
    content = describe_programs(spec.platforms) | {
        "programs": programs,
        "fields": {
            name: _describe(field) for name, field in fields.items()
        },
        "pooling": {
            "name": spec.pooling,
            "combine": pooling.combine.__name__,
            "by_events": pooling.by_events,
            "last_only": pooling.last_only,
        },
        "layer": layer,
        "embed_dim": embedder.embed_dim,
        "max_length": max(lengths),
        "gap_kind": embedder.reader.reading.gap_kind,
        "tokenizer": embedder.tokenizer.kind,
        "one_token_an_event": embedder.tokenizer.one_token_an_event,
        "step": embedder.step,
        "model": embedder.fingerprint,
        "config_hash": embedder.config_hash,
    }
    manifest.write_manifest(folder, STORE, describe_folder(folder), content)
  return lengths


def describe_programs(platforms: Sequence[str]) -> dict[str, Any]:
  """What the manifests of all exports say."""
  return {
      "versions": {
          "jax": jax.__version__,
          "jaxlib": jaxlib.__version__,
          "numpy": np.__version__,
      },
      "platforms": list(platforms),
      "stable_calls": list(_STABLE_CALLS),
  }


def describe_folder(folder: Path) -> dict[str, Any]:
  """Sizes and hashes of all files of an export that is being built."""
  names = [
      path.relative_to(folder).as_posix()
      for path in sorted(folder.rglob("*"))
      if path.is_file() and path.name != "building.json"
  ]
  return manifest.describe_files(folder, names)


def copy_loader(folder: Path, loader: ModuleType, name: str) -> None:
  """Writes a loader and the modules of this package that it imports.

  They lie side by side, so they import each other by their last names.
  """
  waiting, written = [(loader.__name__, name)], set()
  while waiting:
    module, file = waiting.pop()
    text = inspect.getsource(sys.modules[module])
    for other in _OWN_IMPORT.findall(text):
      if other not in written:
        waiting.append((other, other.rpartition(".")[2] + ".py"))
    written.add(module)
    (folder / file).write_text(_OWN_IMPORT.sub(_flat_import, text))


def _flat_import(found: re.Match[str]) -> str:
  return f"from {found[1].rpartition('.')[2]} import"


def _check(spec: ProgramSpec, max_length: int) -> list[int]:
  """The lengths, ascending."""
  unknown = set(spec.platforms) - set(PLATFORMS)
  if unknown or not spec.platforms:
    raise UserError(
        f"platforms {', '.join(spec.platforms) or '(none)'}: choose among"
        f" {', '.join(PLATFORMS)}."
    )
  lengths = sorted(set(spec.lengths)) or bucket_lengths(max_length)
  if not 2 <= lengths[0] <= lengths[-1] <= max_length:
    raise UserError(
        f"--lengths {','.join(map(str, lengths))}: each lies between 2 (CLS and"
        f" one token) and {max_length}, the model's own."
    )
  return lengths


def write_program(
    path: Path,
    function: Any,
    leaves: list[jax.Array],
    fields: Shapes,
    platforms: Sequence[str],
) -> dict[str, Any]:
  """Lowers and writes a function of weights and a batch.

  Args:
    path: of the file.
    function: (weights, batch) -> array.
    leaves: the weights.
    fields: of the batch.
    platforms: on which it runs.

  Returns:
    What `stablehlo_program.read_program` must know of it.
  """
  (rows,) = export.symbolic_shape("rows")
  weights = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in leaves]
  batch = {
      name: jax.ShapeDtypeStruct(
          tuple(rows if n is None else n for n in shape), dtype
      )
      for name, (shape, dtype) in fields.items()
  }
  try:
    found = export.export(
        jax.jit(function),
        platforms=platforms,
        disabled_checks=[
            export.DisabledSafetyCheck.custom_call(name)
            for name in _STABLE_CALLS
        ],
    )(weights, batch)
  except ValueError as error:
    if "custom call" not in str(error):
      raise
    raise UserError(
        "the fast attention of this device is no StableHLO"
        f" ({first_line(error)[:200]}). Export with JAX_PLATFORMS=cpu in the"
        " environment: the programs run on all platforms."
    ) from error
  path.write_bytes(found.mlir_module_serialized)
  return {
      "file": path.name,
      "kept": list(found.module_kept_var_idx),
      "calling_convention": found.calling_convention_version,
  }


def write_weights(folder: Path, leaves: list[jax.Array]) -> None:
  """Writes the weights; UserError if NumPy has no such type."""
  arrays = {f"{n:05}": np.asarray(leaf) for n, leaf in enumerate(leaves)}
  odd = {str(x.dtype) for x in arrays.values() if x.dtype.kind not in "fiub"}
  if odd:
    raise UserError(
        f"weights of type {', '.join(sorted(odd))} have no place in an .npz"
        " file. Train with parameters in float32."
    )
  with (folder / _WEIGHTS).open("wb") as file:
    np.savez(file, allow_pickle=False, **arrays)


def _describe(field: Field) -> dict[str, Any]:
  """A field as JSON, which has no NaN."""
  text = lambda x: "nan" if math.isnan(x) else x
  return {
      "dtype": field.dtype, "pad": text(field.pad), "cls": text(field.at_cls)
  }

"""Reads exported programs and weights; needs jax and NumPy, nothing else.

Exports hold this file beside their loader, which imports it.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import hashlib
import json
import pathlib
from typing import Any

import jax
from jax import export
import jax.numpy as jnp
import numpy as np

# {name: (shape, dtype)}; None in a shape is the free number of rows.
Shapes = Mapping[str, tuple[Sequence[int | None], str]]


def read_export(
    folder: pathlib.Path, store: str
) -> tuple[dict[str, Any], list[jax.Array]]:
  """The manifest and the weights; ValueError if a file is changed."""
  manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
  if manifest.get("store") != store:
    raise ValueError(
        f"{folder}: is an export of {manifest.get('store')!r}, not {store!r}"
    )
  for name, file in manifest["files"].items():
    content = (folder / name).read_bytes()
    if hashlib.sha256(content).hexdigest() != file["sha256"]:
      raise ValueError(
          f"{folder / name}: was truncated or changed; export again"
      )
  with np.load(folder / "weights.npz", allow_pickle=False) as file:
    weights = [jnp.asarray(file[name]) for name in sorted(file.files)]
  return manifest, weights


def read_program(
    folder: pathlib.Path,
    manifest: Mapping[str, Any],
    about: Mapping[str, Any],
    weights: Sequence[jax.Array],
    fields: Shapes,
    result: Sequence[int | None],
) -> Any:
  """A program as a jax function of weights and a batch.

  Args:
    folder: of the export.
    manifest: of the export.
    about: of the program, out of the manifest.
    weights: its first argument.
    fields: of its second argument.
    result: shape of what it gives, float32.
  """
  (rows,) = export.symbolic_shape("rows")
  whole = lambda shape: tuple(rows if n is None else n for n in shape)
  batch = {
      name: jax.ShapeDtypeStruct(whole(shape), dtype)
      for name, (shape, dtype) in fields.items()
  }
  like = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in weights]
  # An export of the same signature, which then gets the program's module: so
  # nothing beyond jax is needed to read it.
  empty = export.export(
      jax.jit(lambda weights, batch: jnp.zeros(whole(result), jnp.float32)),
      platforms=manifest["platforms"],
  )(like, batch)
  program = dataclasses.replace(
      empty,
      mlir_module_serialized=(folder / about["file"]).read_bytes(),
      module_kept_var_idx=tuple(about["kept"]),
      calling_convention_version=about["calling_convention"],
      disabled_safety_checks=tuple(
          export.DisabledSafetyCheck.custom_call(name)
          for name in manifest["stable_calls"]
      ),
  )
  return jax.jit(program.call)

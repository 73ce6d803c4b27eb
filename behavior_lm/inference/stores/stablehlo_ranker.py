"""A ranker as StableHLO, for processes that have only jax and NumPy.

The folder holds one program with a free number of candidates; the weights,
which are its argument; the vocabularies and normalisers of the features; the
encoded items; a manifest; and `load_ranker.py`, which runs all of it. A program
stays readable for six months of jax versions: the run folder is the archive.
"""

from collections.abc import Sequence
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import polars as pl

from behavior_lm.artifacts.run_folder import config_hash
from behavior_lm.common.errors import UserError
from behavior_lm.common.folders import atomic_folder
from behavior_lm.inference.ranker import request_arrays
from behavior_lm.inference.ranker import SIZES
from behavior_lm.inference.stores import manifest
from behavior_lm.inference.stores import ranker_loader
from behavior_lm.inference.stores import stablehlo
from behavior_lm.inference.stores.request_arrays import UserActions
from behavior_lm.recipes.ranking_run import RankingRun
from behavior_lm.recipes.shared import request_data
from behavior_lm.training.state import merge_model

STORE = "stablehlo_ranker"
LOADER = "load_ranker.py"
_PROGRAM = "ranker.mlirbc"


def export_ranker(
    run: RankingRun,
    items: pl.DataFrame,
    out: str | Path,
    *,
    sizes: Sequence[int] = SIZES,
    platforms: Sequence[str] = stablehlo.PLATFORMS,
    overwrite: bool = False,
) -> None:
  """Writes the folder of a ranker, whole or not at all.

  Args:
    run: see `recipes.ranking_run`.
    items: what may be shown, see `inference.ranker.RequestRanker`.
    out: the folder.
    sizes: numbers of candidates that the loader pads requests to, since each
      number is compiled anew.
    platforms: on which the program runs.
    overwrite: replace an export that is there.

  Raises:
    UserError: if the items do not fit the run, sizes are odd, or `out` is in
      the way.
  """
  if not sizes or min(sizes) < 1:
    raise UserError(f"sizes {sizes!r}: give numbers of candidates.")
  arrays = request_arrays(run, items)
  user = arrays.user(UserActions(), 0)
  fields: dict[str, tuple[list[int | None], str]] = {
      name: ([None, *x.shape[1:]], str(x.dtype))
      for name, x in arrays.items.items()
  }
  fields |= {name: (list(x.shape), str(x.dtype)) for name, x in user.items()}
  leaves, tree = jax.tree.flatten((run.params, run.model_state))
  shift = np.float32(request_data.logit_shift(run.config))

  def program(weights: list[jax.Array], batch: dict[str, jax.Array]) -> Any:
    model = merge_model(run.graphdef, *jax.tree.unflatten(tree, weights))
    own = {name: batch[name] for name in user}

    # Models count rows in Python, so the program is of one candidate, and the
    # axis without a fixed length goes around it.
    def one(row: dict[str, jax.Array]) -> jax.Array:
      with jax.default_matmul_precision("float32"):
        logits = model({name: x[None] for name, x in row.items()} | own)
      return jax.nn.sigmoid(logits[0] + shift)

    return jax.vmap(one)({name: batch[name] for name in arrays.items})

  with atomic_folder(
      Path(out),
      overwrite=overwrite,
      is_ours=lambda folder: manifest.is_store(folder, STORE),
      prefix=f"--to {stablehlo.STORE}:",
      kind="StableHLO export",
  ) as folder:
    about = stablehlo.write_program(
        folder / _PROGRAM, program, leaves, fields, platforms
    )
    stablehlo.write_weights(folder, leaves)
    (folder / "features.json").write_text(json.dumps(arrays.about))
    (folder / "items.json").write_text(json.dumps(arrays.names))
    with (folder / "items.npz").open("wb") as file:
      np.savez(file, allow_pickle=False, **arrays.items)
    stablehlo.copy_loader(folder, ranker_loader, LOADER)
    content = stablehlo.describe_programs(platforms) | {
        "program": about,
        "fields": fields,
        "sizes": sorted(sizes),
        "heads": run.heads,
        "step": run.step,
        "config_hash": config_hash(run.config),
    }
    manifest.write_manifest(
        folder, STORE, stablehlo.describe_folder(folder), content
    )

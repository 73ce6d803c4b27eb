"""Runs an exported ranker; needs jax and NumPy, nothing else.

This file lies beside the program as `load_ranker.py`:

  from load_ranker import Ranker, UserActions
  ranker = Ranker.load(FOLDER)
  ranker.rank(["i1", "i2"], time=now_us, context={"user": "u3"},
              actions=UserActions(["click"], ["i7"], [now_us - 60_000_000]))
"""

from collections.abc import Mapping, Sequence
import json
import pathlib
from typing import Any

import numpy as np

from behavior_lm.inference.stores.request_arrays import RequestArrays
from behavior_lm.inference.stores.request_arrays import UserActions
from behavior_lm.inference.stores.stablehlo_program import read_export
from behavior_lm.inference.stores.stablehlo_program import read_program

__all__ = ["Ranker", "UserActions"]


class Ranker:
  """Probabilities of requests, as `inference.ranker` gives them.

  Attributes:
    manifest: what the export says of itself.
    heads: names of the actions that are predicted.
  """

  def __init__(
      self,
      manifest: dict[str, Any],
      arrays: RequestArrays,
      weights: Any,
      program: Any,
  ) -> None:
    self.manifest, self.heads = manifest, tuple(manifest["heads"])
    self._arrays, self._weights, self._program = arrays, weights, program

  @classmethod
  def load(cls, folder: str | pathlib.Path) -> "Ranker":
    """Reads the folder; ValueError if a file is missing or changed."""
    folder = pathlib.Path(folder)
    manifest, weights = read_export(folder, "stablehlo_ranker")
    about = json.loads((folder / "features.json").read_text())
    names = json.loads((folder / "items.json").read_text())
    with np.load(folder / "items.npz", allow_pickle=False) as file:
      arrays = RequestArrays(about, dict(file), names)
    program = read_program(
        folder,
        manifest,
        manifest["program"],
        weights,
        manifest["fields"],
        (None, len(manifest["heads"])),
    )
    return cls(manifest, arrays, weights, program)

  def rank(
      self,
      candidates: Sequence[str],
      *,
      time: int,
      actions: UserActions | None = None,
      context: Mapping[str, Any] | None = None,
      user_vector: np.ndarray | None = None,
  ) -> np.ndarray:
    """Scores candidates for one user.

    Args:
      candidates: items; one that the export lacks is an unknown item.
      time: of the request, microseconds UTC.
      actions: of the user, all strictly before `time`.
      context: {feature column: value} of the user and the request.
      user_vector: [dim] of the user, for a run that reads one.

    Returns:
      [candidates, heads] float32 probabilities.

    Raises:
      ValueError: if an action is not before the request, or a context column
        is no feature.
    """
    return self._arrays.rank(
        lambda arrays, user: self._program(self._weights, arrays | user),
        candidates,
        sizes=self.manifest["sizes"],
        num_heads=len(self.heads),
        time=time,
        actions=actions,
        context=context,
        user_vector=user_vector,
    )

"""What the recipes `prompts` and `domains` read: rows, parts, prompts."""

from collections.abc import Mapping
import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import ml_collections
import numpy as np
import polars as pl

from behavior_lm.artifacts.json_files import read_entry
from behavior_lm.common.errors import UserError
from behavior_lm.common.files import write_whole
from behavior_lm.data.prompts.interactions import read_interactions
from behavior_lm.data.prompts.interactions import SPLITS
from behavior_lm.data.prompts.interactions import TEST
from behavior_lm.data.prompts.interactions import TRAIN
from behavior_lm.data.prompts.templates import make_prompts
from behavior_lm.evaluation.domain_scores import LABEL
from behavior_lm.objectives.labels import BINARY
from behavior_lm.objectives.labels import predictions
from behavior_lm.objectives.labels import Target

DATA = "interactions.json"  # in the run folder
LIKED = Target(LABEL, BINARY)


class DomainData:
  """The interactions of a run.

  Args:
    config: the section `prompts` of a config.

  Attributes:
    frame: of all domains, see `data.prompts.interactions`; what is left out of
      training has the split test.
    rows: {split: [n] places in the frame}.

  Raises:
    UserError: if a source or a setting is wrong.
  """

  def __init__(self, config: ml_collections.ConfigDict):
    self._config = config
    frame = read_interactions(
        {name: path for name, path in config.sources.items() if path},
        valid_share=config.valid_share,
        test_share=config.test_share,
    )
    left_out = [*filter(None, config.left_out.split(","))]
    known = set(frame["domain"])
    if unknown := set(left_out) - known:
      raise UserError(
          f"config.prompts.left_out names {', '.join(sorted(unknown))}; the"
          f" domains are {', '.join(sorted(known))}."
      )
    if known <= set(left_out):
      raise UserError("config.prompts.left_out leaves no domain to train on.")
    # A domain that is left out is tested on its test rows, as the others are;
    # its earlier rows are history, and nobody trains on them.
    seen = ~frame["domain"].is_in(left_out)
    is_earlier = ~seen & (frame["split"] != TEST)
    frame = frame.with_columns(
        split=pl.when(is_earlier).then(pl.lit("")).otherwise(pl.col("split"))
    )
    self.frame = frame
    splits = frame["split"].to_numpy()
    self.rows = {name: np.flatnonzero(splits == name) for name in SPLITS}

  @functools.cached_property
  def prompts(self) -> list[str]:
    """One per row of the frame."""
    config = self._config
    return make_prompts(
        self.frame,
        templates=config.templates.to_dict(),
        history_length=config.history_length,
        num_reviews=config.num_reviews,
        text_length=config.text_length,
    )

  @property
  def labels(self) -> np.ndarray:
    """[n, 1] float32."""
    return self.frame["label"].to_numpy()[:, None].astype(np.float32)

  def domains(self) -> dict[str, np.ndarray]:
    """{split: names of the rows' domains}."""
    names = self.frame["domain"].to_numpy()
    return {split: names[rows] for split, rows in self.rows.items()}

  def describe(self) -> str:
    sizes = ", ".join(f"{len(rows):,} {name}" for name, rows in self._sides())
    return f"{self.frame['domain'].n_unique()} domains, {sizes} rows"

  def measured(self) -> dict[str, np.ndarray]:
    """The parts that models are scored on; an empty one is left out."""
    return {name: rows for name, rows in self._sides() if name != TRAIN}

  def save(self, folder: Path, **about: Any) -> None:
    """Writes what the rows of a run are known by."""
    text = json.dumps(self._about() | about, indent=1)
    write_whole(folder / DATA, text + "\n")

  def check_same(self, folder: Path) -> None:
    """Raises UserError if a run was trained on other rows."""
    there = read_entry(folder / DATA, "rows_sha256")
    if there != self._about()["rows_sha256"]:
      raise UserError(
          f"{folder} was trained on other interactions than those of"
          " config.prompts. Use a new --workdir, or the sources of that run."
      )

  def _sides(self) -> list[tuple[str, np.ndarray]]:
    return [(name, rows) for name, rows in self.rows.items() if len(rows)]

  def _about(self) -> dict[str, Any]:
    digest = hashlib.sha256()
    for column in self.frame.iter_columns():
      digest.update(column.hash(0).to_numpy().tobytes())
    return {
        "rows_sha256": digest.hexdigest(),
        "rows": {name: len(rows) for name, rows in self.rows.items()},
        "domains": sorted(set(self.frame["domain"])),
    }


def decode(outputs: np.ndarray) -> Mapping[str, np.ndarray]:
  """Logits [n, 1 or more] -> {LABEL: probabilities [n]} by the first."""
  found = predictions((LIKED,), outputs[:, :1])
  return {name: np.asarray(values) for name, values in found.items()}

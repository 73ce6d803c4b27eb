"""What labels mean: their classes, weights and scales, from training rows."""

from collections.abc import Mapping, Sequence
import dataclasses
import json
from pathlib import Path

import numpy as np

from behavior_lm.common.errors import UserError
from behavior_lm.common.files import write_whole
from behavior_lm.data.labelled_rows import label_array
from behavior_lm.data.samples import SampleTable
from behavior_lm.data.samples import vocabulary
from behavior_lm.data.samples.sample_columns import LABEL
from behavior_lm.objectives.labels import BINARY
from behavior_lm.objectives.labels import MULTI_CLASS
from behavior_lm.objectives.labels import predictions
from behavior_lm.objectives.labels import REGRESSION
from behavior_lm.objectives.labels import Target

FILE = "labels.json"
CLASS_WEIGHTS = ("none", "balanced")


@dataclasses.dataclass(frozen=True)
class LabelSpace:
  """From the labels of a table to what a model learns, and back.

  Attributes:
    targets: the labels, in the order of the table's declaration.
    classes: {label: its classes in the order of their codes}.
    scales: {label: (mean, standard deviation)} of regressions, which are
      learned in units of these.
  """

  targets: tuple[Target, ...]
  classes: Mapping[str, Sequence[str]]
  scales: Mapping[str, tuple[float, float]]

  @property
  def num_outputs(self) -> int:
    return sum(target.outputs for target in self.targets)

  @property
  def num_columns(self) -> int:
    return sum(target.columns for target in self.targets)

  def output_column(self, label: str, number: int = 0) -> int:
    """The column of the outputs that predicts a label.

    Args:
      label: its name.
      number: of its outputs, for a label of several classes.

    Raises:
      UserError: if there is no such output.
    """
    found, at = [], 0
    for target in self.targets:
      if label == target.name and 0 <= number < target.outputs:
        return at + number
      found.append(f"{target.name} ({target.outputs})")
      at += target.outputs
    raise UserError(
        f"label {label!r}, output {number}: the labels of this run, with their"
        f" numbers of outputs, are {', '.join(found)}."
    )

  def encode(self, table: SampleTable, rows: np.ndarray) -> np.ndarray:
    """[n, columns] float32 of some rows; regressions in their own units."""
    known = {LABEL + name: values for name, values in self.classes.items()}
    return label_array(table, rows, known)

  def normalise(self, labels: np.ndarray) -> np.ndarray:
    """[n, columns], regressions in units of their spread in training."""
    out = labels.copy()
    for target, column in self._columns():
      if target.name in self.scales:
        mean, spread = self.scales[target.name]
        out[:, column] = (labels[:, column] - mean) / spread
    return out

  def decode(self, outputs: np.ndarray) -> dict[str, np.ndarray]:
    """[..., outputs] -> {label: predictions}, see `objectives.labels`."""
    found = {
        name: np.asarray(values)
        for name, values in predictions(self.targets, outputs).items()
    }
    for name, (mean, spread) in self.scales.items():
      found[name] = found[name] * spread + mean
    return found

  def save(self, folder: Path) -> None:
    content = dataclasses.asdict(self)
    write_whole(folder / FILE, json.dumps(content, indent=1) + "\n")

  @classmethod
  def load(cls, folder: Path) -> "LabelSpace":
    """Reads a run folder.

    Raises:
      UserError: if there is no such file, or it is damaged.
    """
    path = folder / FILE
    try:
      content = json.loads(path.read_text())
      targets = tuple(
          Target(**(about | {"class_weights": tuple(about["class_weights"])}))
          for about in content["targets"]
      )
      scales = {k: (v[0], v[1]) for k, v in content["scales"].items()}
      return cls(targets, content["classes"], scales)
    except FileNotFoundError:
      raise UserError(
          f"{folder}: no {FILE}, so this run was not fine-tuned. Give a run of"
          " configs/finetune.py."
      ) from None
    except (
        OSError, ValueError, TypeError, AttributeError, LookupError,
        RecursionError,
    ) as error:  # fmt: skip
      raise UserError(f"{path}: is damaged ({error}).") from error

  @classmethod
  def fit(
      cls,
      table: SampleTable,
      rows: np.ndarray,
      *,
      class_weights: str = "none",
      weights: Mapping[str, float] | None = None,
  ) -> "LabelSpace":
    """Reads classes and scales off the training rows.

    Args:
      table: labelled rows.
      rows: positions of the training rows.
      class_weights: "none", or "balanced": classes weigh the inverse of their
        number of rows, with mean 1 over rows.
      weights: {label: factor of its loss}; 1 where it is not named.

    Raises:
      UserError: if a label has one class or value alone, or a name is unknown.
    """
    if class_weights not in CLASS_WEIGHTS:
      raise UserError(
          f"class_weights {class_weights!r}; known are"
          f" {', '.join(CLASS_WEIGHTS)}."
      )
    kinds = table.columns.labels
    for name in weights or {}:
      if name not in kinds:
        raise UserError(
            f"a weight for the label {name!r}, which is not among"
            f" {', '.join(kinds)}."
        )
    known = vocabulary.fit(table, rows)
    classes = {
        name: list(known[LABEL + name])
        for name in kinds
        if LABEL + name in known
    }
    targets = tuple(
        Target(
            name,
            kind,
            num_classes=len(classes.get(name, ())),
            weight=(weights or {}).get(name, 1.0),
        )
        for name, kind in kinds.items()
    )
    space = cls(targets, classes, {})
    labels = space.encode(table, rows)
    scales, weighted = {}, []
    for target, column in space._columns():
      values = labels[:, column]
      if target.kind == REGRESSION:
        scales[target.name] = _scale(values[:, 0], target.name)
      else:
        counts = _counts(values, target)
        if class_weights == "balanced":
          target = dataclasses.replace(
              target, class_weights=_balanced(counts, values, target)
          )
      weighted.append(target)
    return cls(tuple(weighted), classes, scales)

  def _columns(self) -> list[tuple[Target, slice]]:
    """Each target with its columns."""
    found, at = [], 0
    for target in self.targets:
      found.append((target, slice(at, at + target.columns)))
      at += target.columns
    return found


def _counts(values: np.ndarray, target: Target) -> np.ndarray:
  """Rows of each class of a label.

  Raises:
    UserError: if the rows have one class alone.
  """
  known = values[(values >= 0).all(1)]
  if target.kind in (BINARY, MULTI_CLASS):
    size = 2 if target.kind == BINARY else target.num_classes
    counts = np.bincount(known[:, 0].astype(np.int64), minlength=size)
    if (counts > 0).sum() < 2:
      raise UserError(
          f"label {target.name!r}: all {len(known):,} training rows are of one"
          " class, so there is nothing to learn. Add rows of another class."
      )
    return counts
  return known.sum(0)


def _balanced(
    counts: np.ndarray, values: np.ndarray, target: Target
) -> tuple[float, ...]:
  if target.kind in (BINARY, MULTI_CLASS):
    there = max(int((counts > 0).sum()), 1)
    weights = counts.sum() / (there * np.maximum(counts, 1))
  else:
    rows = (values >= 0).all(1).sum()
    weights = (rows - counts) / np.maximum(counts, 1)
  return tuple(float(weight) for weight in weights)


def _scale(values: np.ndarray, name: str) -> tuple[float, float]:
  known = values[np.isfinite(values)]
  spread = float(known.std()) if len(known) else 0.0
  if not spread:
    raise UserError(
        f"label {name!r}: the training rows have {len(known):,} numbers, which"
        " do not differ, so there is nothing to learn."
    )
  return float(known.mean()), spread

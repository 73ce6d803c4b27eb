"""Predicts the labels of samples, and measures the predictions."""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import functools
from typing import Any

import jax
from jax.sharding import Mesh
import numpy as np

from behavior_lm.common.errors import UserError
from behavior_lm.data.pipeline import AnyRows
from behavior_lm.data.pipeline import BatchSpec
from behavior_lm.data.pipeline import make_loader
from behavior_lm.evaluation.classification import best_threshold
from behavior_lm.evaluation.label_metrics import label_figures
from behavior_lm.objectives.labels import BINARY
from behavior_lm.objectives.labels import split
from behavior_lm.objectives.labels import Target
from behavior_lm.training.sharding import put_batch
from behavior_lm.training.state import merge_model

Predicted = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class LabelSubject:
  """A model of labels, and the samples that it is measured on.

  Attributes:
    targets: the labels.
    sides: {split: (rows, labels [n, columns])}, rows once and in order.
    decode: outputs [n, outputs] -> {name: predictions [n, ...]}.
    spec: shape of a batch.
    names: fields that the model reads.
    graphdef: of the model.
    mesh: devices.
  """

  targets: Sequence[Target]
  sides: Mapping[str, tuple[AnyRows, np.ndarray]]
  decode: Callable[[np.ndarray], Predicted]
  spec: BatchSpec
  names: tuple[str, ...]
  graphdef: Any
  mesh: Mesh

  @functools.cached_property
  def program(self) -> Any:
    """The compiled model."""
    return jax.jit(make_label_program(self.graphdef))

  def predict(self, state: Mapping[str, Any], split_name: str) -> Predicted:
    """{name: [n, ...]} of a split; NaN where a sample has no history."""
    rows, labels = self.sides[split_name]
    return self.decode(self.outputs(state, rows, len(labels)))

  def outputs(
      self, state: Mapping[str, Any], rows: AnyRows, num_samples: int
  ) -> np.ndarray:
    """[num_samples, outputs] float32, NaN where a sample is in no row.

    Args:
      state: parameters and variables of the model.
      rows: of the samples, once.
      num_samples: how many there are.
    """
    width = sum(target.outputs for target in self.targets)
    return run_rows(
        functools.partial(
            self.program, state["params"], state["model_state"]
        ),
        rows,
        self.spec,
        self.names,
        self.mesh,
        shape=(num_samples, width),
    )


def run_rows(
    program: Callable[[Any], Any],
    rows: AnyRows,
    spec: BatchSpec,
    names: Sequence[str],
    mesh: Mesh,
    *,
    shape: tuple[int, int],
) -> np.ndarray:
  """What a program says of each sample.

  Args:
    program: of a batch of the fields `names` to [batch, segments, width], or
      to [batch, width] where a row is a sample.
    rows: of the samples, once, with their places in `sample`.
    spec: shape of a batch.
    names: fields that the program reads.
    mesh: devices.
    shape: (samples, width).

  Returns:
    [samples, width] float32, NaN where a sample is in no row.
  """
  found = np.full(shape, np.nan, np.float32)
  fields = tuple(dict.fromkeys((*names, "sample")))
  loader = iter(make_loader(rows, spec, drop_remainder=False, names=fields))
  try:
    for batch in loader:
      outputs = program(put_batch(batch, mesh))
      there = batch["sample"] >= 0
      found[batch["sample"][there]] = np.asarray(outputs)[there]
  finally:
    loader.close()
  return found


class LabelScores:
  """Figures of `label_metrics` on one split.

  Args:
    subject: what is measured.
    split: of the samples, such as "valid".
    every: steps between two evaluations while training.
    threshold_split: the split that the threshold of F1 is chosen on; empty is
      `split` itself.

  Raises:
    UserError: if there is no such split.
  """

  def __init__(
      self,
      subject: LabelSubject,
      *,
      split: str,
      every: int = 0,
      threshold_split: str = "",
  ) -> None:
    for name in filter(None, (split, threshold_split)):
      if name not in subject.sides:
        raise UserError(
            f"evaluator of the split {name!r}: the samples are divided into"
            f" {', '.join(subject.sides)}."
        )
    self.subject, self.split, self.every = subject, split, every
    self.threshold_split = threshold_split

  def run(self, state: Mapping[str, Any]) -> dict[str, float]:
    thresholds = {}
    if self.threshold_split not in ("", self.split):
      thresholds = self.thresholds(state)
    labels = self.subject.sides[self.split][1]
    predicted = self.subject.predict(state, self.split)
    return label_figures(self.subject.targets, labels, predicted, thresholds)

  def thresholds(self, state: Mapping[str, Any]) -> dict[str, float]:
    """The best thresholds of binary labels on `threshold_split`."""
    name = self.threshold_split or self.split
    labels = self.subject.sides[name][1]
    predicted = self.subject.predict(state, name)
    return find_thresholds(self.subject.targets, labels, predicted)


def find_thresholds(
    targets: Sequence[Target],
    labels: np.ndarray,
    predicted: Mapping[str, np.ndarray],
) -> dict[str, float]:
  """The threshold of the best F1 of each binary label, see `label_figures`."""
  no_outputs = np.zeros((1, sum(target.outputs for target in targets)))
  found = {}
  for target, _, columns in split(targets, no_outputs, labels):
    if target.kind == BINARY:
      scores = predicted[target.name]
      known = (columns[:, 0] >= 0) & np.isfinite(scores)
      found[target.name] = best_threshold(columns[known, 0], scores[known])
  return found


def make_label_program(graphdef: Any) -> Any:
  """A pure function (params, model_state, batch) -> outputs of segments."""

  def program(
      params: Any, model_state: Any, batch: Mapping[str, jax.Array]
  ) -> jax.Array:
    with jax.default_matmul_precision("float32"):
      outputs: jax.Array = merge_model(graphdef, params, model_state)(batch)
      return outputs

  return program

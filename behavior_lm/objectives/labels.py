"""Labels: what a table says about a segment or a row, predicted by a model.

Labels are one float32 array with a column per number that the table gives: one
for a binary, multi_class (the class) or regression label, one per class for a
multi_label one. The model gives one array of outputs: one for a binary or
regression label, one per class for the others. `Target`s in order say which
columns and outputs belong to which label.
"""

from collections.abc import Iterator, Sequence
import dataclasses
from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.objectives.objective import Batch
from behavior_lm.objectives.objective import Metrics
from behavior_lm.objectives.objective import Requires

# As in `data.samples.sample_columns`.
BINARY, MULTI_CLASS = "binary", "multi_class"
MULTI_LABEL, REGRESSION = "multi_label", "regression"
KINDS = (BINARY, MULTI_CLASS, MULTI_LABEL, REGRESSION)


@dataclasses.dataclass(frozen=True)
class Target:
  """One label, and how much it counts.

  Attributes:
    name: of the label, for metrics.
    kind: one of `KINDS`, which decides the loss: binary cross entropy (binary,
      and the mean over classes for multi_label), softmax cross entropy
      (multi_class) or squared error (regression).
    num_classes: of a multi_class or multi_label label.
    weight: factor of its loss.
    class_weights: factors of the loss by the true class: (of 0, of 1) for
      binary, one per class for multi_class, one per class where it is present
      for multi_label; empty is 1 everywhere.

  Raises:
    ValueError: if the kind is unknown, or numbers do not fit it.
  """

  name: str
  kind: str
  num_classes: int = 0
  weight: float = 1.0
  class_weights: tuple[float, ...] = ()

  def __post_init__(self) -> None:
    if self.kind not in KINDS:
      raise ValueError(f"label kind {self.kind!r}; known are {KINDS}")
    least = {MULTI_CLASS: 2, MULTI_LABEL: 1}.get(self.kind, 0)
    if self.num_classes < least or (not least and self.num_classes):
      raise ValueError(
          f"label {self.name!r}: {self.num_classes} classes do not fit the kind"
          f" {self.kind!r}"
      )
    wanted = {BINARY: 2, REGRESSION: 0}.get(self.kind, self.num_classes)
    if self.class_weights and len(self.class_weights) != wanted:
      raise ValueError(
          f"label {self.name!r}: {len(self.class_weights)} class weights; the"
          f" kind {self.kind!r} takes {wanted or 'none'}"
      )
    if min((self.weight, *self.class_weights)) < 0:
      raise ValueError(f"label {self.name!r}: a weight is negative")

  @property
  def columns(self) -> int:
    """Numbers of the label in a row of the table."""
    return self.num_classes if self.kind == MULTI_LABEL else 1

  @property
  def outputs(self) -> int:
    """Numbers that a model gives for it."""
    return max(self.num_classes, 1)


@dataclasses.dataclass(frozen=True)
class Labels:
  """Predict labels of segments or rows.

  The model is called as `model(batch, deterministic=, rngs=)` and gives
  [..., outputs of all targets]; `labels` is [..., columns of all targets] and
  `weights` [...], or [..., targets] where each label has weights of its own.
  What the leading axes are (rows, or rows and segments) the model and the
  batch agree about. A label that is NaN, or a class below 0, is missing; a
  weight of 0 marks padding.

  Attributes:
    targets: the labels in the order of their columns and outputs.
  """

  targets: tuple[Target, ...]

  def __post_init__(self) -> None:
    if not self.targets:
      raise ValueError("no labels: name at least one")

  @property
  def requires(self) -> Requires:
    return Requires(("labels", "weights"))

  def init_state(self) -> dict[str, jax.Array]:
    """Nothing is kept from step to step."""
    return {}

  def loss(
      self, model: Any, batch: Batch, state: Any, key: jax.Array
  ) -> tuple[jax.Array, Metrics, Any]:
    """The sum over targets of weight times mean loss over known labels.

    The mean divides by the sum of sample weights alone: class weights of mean
    1 keep the scale, and batches with few of a class are not inflated.

    The metrics are `loss` and, for each target, `loss/NAME` (class weights
    left out) and `accuracy/NAME` or `squared_error/NAME`.
    """
    outputs = model(batch, deterministic=False, rngs=nnx.Rngs(dropout=key))
    sums = label_sums(self.targets, outputs, batch["labels"], batch["weights"])
    loss, metrics = means(self.targets, sums)
    return loss, metrics, state


def label_sums(
    targets: Sequence[Target],
    outputs: jax.Array,
    labels: jax.Array,
    weights: jax.Array,
) -> dict[str, dict[str, jax.Array]]:
  """Sums over all known labels: those of parts add up to those of the whole.

  Args:
    targets: the labels.
    outputs: [..., outputs of all targets].
    labels: [..., columns of all targets], see `Labels`.
    weights: [...] or [..., targets] float32.

  Returns:
    {name: sums}, float32 scalars: `weight` of the known labels, `weighted`
    loss with and `loss` without class weights, and what the metric of the
    kind adds up, see `metric_name`.
  """
  outputs = outputs.astype(jnp.float32)
  by_target = weights.ndim == labels.ndim
  found = {}
  for number, (target, z, y) in enumerate(split(targets, outputs, labels)):
    known = y if target.kind == REGRESSION else jnp.where(y < 0, jnp.nan, y)
    own = weights[..., number] if by_target else weights
    # A label is known as a whole: classes of a set are given together.
    valid = ~jnp.isnan(known).any(-1) & (own > 0)
    # Neither a missing label nor the output of padding may reach a gradient.
    y = jnp.where(valid[..., None], y, 0.0)
    z = jnp.where(valid[..., None], z, 0.0)
    loss, factor, figure = _KINDS[target.kind](z, y, target.class_weights)
    own = jnp.where(valid, own, 0.0)
    found[target.name] = {
        "weight": own.sum(),
        "weighted": ((loss * factor).mean(-1) * own).sum(),
        "loss": (loss.mean(-1) * own).sum(),
        metric_name(target): (figure.mean(-1) * own).sum(),
    }
  return found


def means(
    targets: Sequence[Target], sums: dict[str, dict[str, jax.Array]]
) -> tuple[jax.Array, Metrics]:
  """The loss, and metrics by name, from sums over everything."""
  loss = jnp.zeros(())
  metrics: Metrics = {}
  for target in targets:
    own = sums[target.name]
    # No known label at all: 0, not NaN.
    total = jnp.where(own["weight"] > 0, own["weight"], 1.0)
    loss = loss + target.weight * own["weighted"] / total
    for name in ("loss", metric_name(target)):
      metrics[f"{name}/{target.name}"] = own[name] / total
  return loss, {"loss": loss} | metrics


def metric_name(target: Target) -> str:
  """What is measured beside the loss while training."""
  return "squared_error" if target.kind == REGRESSION else "accuracy"


def split(
    targets: Sequence[Target], outputs: Any, labels: Any
) -> Iterator[tuple[Target, Any, Any]]:
  """Each target with its outputs and columns.

  Args:
    targets: the labels.
    outputs: [..., outputs of all targets], an array of jax or NumPy.
    labels: [..., columns of all targets].

  Raises:
    ValueError: if an array has not as many numbers as the targets.
  """
  for name, array, wanted in (
      ("outputs", outputs, sum(target.outputs for target in targets)),
      ("labels", labels, sum(target.columns for target in targets)),
  ):
    if array.shape[-1:] != (wanted,):
      raise ValueError(
          f"{name} of shape {array.shape}: the last axis must hold the"
          f" {wanted} numbers of {', '.join(t.name for t in targets)}"
      )
  at, column = 0, 0
  for target in targets:
    yield (
        target,
        outputs[..., at : at + target.outputs],
        labels[..., column : column + target.columns],
    )
    at += target.outputs
    column += target.columns


def predictions(
    targets: Sequence[Target], outputs: Any
) -> dict[str, jax.Array]:
  """What a model says of each label.

  Args:
    targets: the labels.
    outputs: [..., outputs of all targets], an array of jax or NumPy.

  Returns:
    {name: float32}: the probability [...] of a binary label, probabilities
    [..., classes] of a multi_class (of sum 1) or multi_label one, the number
    [...] of a regression.
  """
  found, at = {}, 0
  for target in targets:
    z = jnp.asarray(outputs[..., at : at + target.outputs], jnp.float32)
    at += target.outputs
    if target.kind == MULTI_CLASS:
      found[target.name] = jax.nn.softmax(z, -1)
    elif target.kind == MULTI_LABEL:
      found[target.name] = jax.nn.sigmoid(z)
    elif target.kind == BINARY:
      found[target.name] = jax.nn.sigmoid(z[..., 0])
    else:
      found[target.name] = z[..., 0]
  return found


# Each kind of label: z [..., outputs] and y [..., columns] give the loss, the
# factor of its class and the figure of the metric, [..., 1 or columns] each.
_Parts = tuple[jax.Array, jax.Array, jax.Array]


def _bits(
    z: jax.Array, y: jax.Array, class_weights: tuple[float, float]
) -> _Parts:
  # -y log s(z) - (1 - y) log(1 - s(z)) = softplus(z) - y z.
  loss = jax.nn.softplus(z) - y * z
  without, with_it = class_weights
  factor = without + (with_it - without) * y
  return loss, factor, ((z > 0) == (y > 0.5)).astype(jnp.float32)


def _binary(
    z: jax.Array, y: jax.Array, class_weights: tuple[float, ...]
) -> _Parts:
  without, with_it = class_weights or (1.0, 1.0)
  return _bits(z, y, (without, with_it))


def _multi_label(
    z: jax.Array, y: jax.Array, class_weights: tuple[float, ...]
) -> _Parts:
  loss, _, figure = _bits(z, y, (1.0, 1.0))
  present = jnp.asarray(class_weights or (1.0,), jnp.float32)
  return loss, 1.0 + (present - 1.0) * y, figure


def _multi_class(
    z: jax.Array, y: jax.Array, class_weights: tuple[float, ...]
) -> _Parts:
  chosen = y.astype(jnp.int32)
  loss = -jnp.take_along_axis(jax.nn.log_softmax(z, -1), chosen, -1)
  factor = jnp.ones_like(loss)
  if class_weights:
    factor = jnp.asarray(class_weights, jnp.float32)[chosen]
  hit = z.argmax(-1, keepdims=True) == chosen
  return loss, factor, hit.astype(jnp.float32)


def _regression(
    z: jax.Array, y: jax.Array, class_weights: tuple[float, ...]
) -> _Parts:
  del class_weights
  error = (z - y) ** 2
  return error, jnp.ones_like(error), error


_KINDS = {
    BINARY: _binary,
    MULTI_CLASS: _multi_class,
    MULTI_LABEL: _multi_label,
    REGRESSION: _regression,
}

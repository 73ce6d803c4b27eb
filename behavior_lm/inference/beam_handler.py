"""The encoder inside an Apache Beam pipeline.

    from apache_beam.ml.inference.base import KeyedModelHandler, RunInference

    handler = KeyedModelHandler(EncoderHandler("runs/gate"))
    vectors = histories | RunInference(handler)   # (user, history) pairs

apache-beam is optional (`pip install behavior_lm[beam]`).
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from apache_beam.ml.inference.base import ModelHandler
from apache_beam.ml.inference.base import PredictionResult

from behavior_lm.inference.embedder import Embedder


class EncoderHandler(ModelHandler[Any, PredictionResult, Embedder]):
  """Gives each history its vector, as `Embedder.encode` would.

  An element is one sequence in any form that `Embedder.encode` reads, such as a
  dict of event_id, design_id and timestamp. The run folder must be the same
  for all workers. Vectors do not depend on the batches that Beam makes.

  Args:
    run: a run folder.
    pooling, layer: see `Embedder.encode`.
    step, best: see `Embedder.load`.
    max_batch_size: elements that are encoded together at most.
  """

  def __init__(
      self,
      run: str | Path,
      *,
      pooling: str = "mean",
      layer: int | None = None,
      step: int | None = None,
      best: bool = False,
      max_batch_size: int = 256,
  ) -> None:
    super().__init__()
    self._run = str(run)
    self._options = {"pooling": pooling, "layer": layer}
    self._checkpoint: dict[str, Any] = {"step": step, "best": best}
    self._max_batch_size = max_batch_size

  def load_model(self) -> Embedder:
    """Loads the run once per worker."""
    return Embedder.load(self._run, **self._checkpoint)

  def run_inference(
      self,
      batch: Sequence[Any],
      model: Embedder,
      inference_args: Mapping[str, Any] | None = None,
  ) -> Iterable[PredictionResult]:
    """`PredictionResult`s whose inference is a vector [embed_dim] float32."""
    options = self._options | dict(inference_args or {})
    vectors = model.encode(batch, **options)
    for example, vector in zip(batch, vectors, strict=True):
      yield PredictionResult(example, vector, model.fingerprint)

  def batch_elements_kwargs(self) -> Mapping[str, Any]:
    """Beam passes these arguments to its BatchElements."""
    return {"max_batch_size": self._max_batch_size}

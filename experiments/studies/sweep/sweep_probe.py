"""What the vectors of a sweep's runs tell about labels of users."""

from collections.abc import Mapping, Sequence
import functools
import json
from pathlib import Path
from typing import Any

import numpy as np

from behavior_lm.common.errors import UserError
from behavior_lm.common.files import write_whole
from behavior_lm.downstream import probe
from behavior_lm.downstream import probe_files
from behavior_lm.inference.dataset_embeddings import embed_dataset
from behavior_lm.inference.dataset_embeddings import Request
from behavior_lm.inference.embedder import Embedder
from behavior_lm.inference.pooling import has_history_tokens
from behavior_lm.logs.dataset import Dataset
from behavior_lm.logs.dataset import open_dataset

_PROBES = "probes.json"
# Of all its probes; counts are the same for every run.
_TOLD = {name: probe.PROBES[name] for name in (probe.EMBEDDING, probe.COUNTS)}


class SweepProbe:
  """Logistic regressions on frozen vectors, cross-validated by user.

  Args:
    data: dataset folders.
    labels: a table of labels for each, see `downstream.labels`.

  Raises:
    UserError: if they are not as many, or one is no dataset.
  """

  def __init__(self, data: Sequence[str], labels: Sequence[str]) -> None:
    if len(data) != len(labels):
      raise UserError(
          f"--probe_data names {len(data)} datasets and --probe_labels"
          f" {len(labels)} files: give one file for each dataset."
      )
    self._tasks = [
        (open_dataset(one), Path(table))
        for one, table in zip(data, labels, strict=True)
    ]
    self._counts: dict[tuple[str, int], probe.Scored] = {}

  def finish(self, folder: Path, run: Path) -> list[dict[str, Any]]:
    """Probes a run, or reads what an earlier call found.

    Args:
      folder: of the run in the study; takes vectors and probes.json.
      run: its run folder.

    Returns:
      For each label: data, label, auc and auc_ci of the vectors, counts_auc of
      event counts.
    """
    request = [
        [dataset.meta["fingerprint"], table.stat().st_size]
        for dataset, table in self._tasks
    ]
    path = folder / _PROBES
    if path.exists():
      found = json.loads(path.read_text())
      if found["request"] == request:
        return found["rows"]
    embedder = Embedder.load(run)
    rows = [
        row
        for dataset, table in self._tasks
        for row in self._probe(embedder, dataset, table, folder, run)
    ]
    content = {"request": request, "rows": rows}
    write_whole(path, json.dumps(content, indent=1) + "\n")
    return rows

  def _probe(
      self,
      embedder: Embedder,
      dataset: Dataset,
      table: Path,
      folder: Path,
      run: Path,
  ) -> list[dict[str, Any]]:
    name = dataset.path.resolve().name
    request = Request(
        unit="user",
        pooling="history" if has_history_tokens(embedder.config) else "mean",
        out=str(folder / f"vectors_{name}.parquet"),
    )
    vectors = embed_dataset(embedder, dataset, request, run=run).path
    data = probe_files.read_input(vectors, dataset, table)
    out = []
    for label, values in data.labels.items():
      known = np.flatnonzero(np.isfinite(values))
      truth = values[known].astype(np.int64)
      if reason := probe.why_not(truth):
        raise UserError(f"--probe_labels {table}: label {label!r}: {reason}.")
      key = f"{name} {label}"
      of_vectors, of_counts = probe.run_probes(
          truth,
          probe.make_blocks(data.features.take(known), data.vectors[known]),
          probes=_TOLD,
          find=functools.partial(self._find, key),
          keep=functools.partial(self._keep, key),
      )
      out.append({
          "data": name,
          "label": label,
          "num_users": len(known),
          "auc": of_vectors["auc"],
          "auc_ci": of_vectors["auc_ci"],
          "counts_auc": of_counts["auc"],
      })
    return out

  def _find(self, key: str, name: str, seed: int) -> probe.Scored | None:
    return self._counts.get((key, seed)) if name == probe.COUNTS else None

  def _keep(
      self, key: str, name: str, seed: int, scored: probe.Scored
  ) -> None:
    if name == probe.COUNTS:
      self._counts[key, seed] = scored


def mean_probes(
    seeds: Sequence[Sequence[Mapping[str, Any]]],
) -> list[dict[str, Any]]:
  """The mean over seeds of each label's AUC and of its bounds."""
  out = []
  for rows in zip(*seeds, strict=True):
    mean = lambda name, rows=rows: np.mean([row[name] for row in rows], 0)
    out.append({
        **rows[0],
        "auc": float(mean("auc")),
        "auc_ci": [float(bound) for bound in mean("auc_ci")],
    })
  return out

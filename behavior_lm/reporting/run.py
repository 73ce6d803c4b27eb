"""What a run folder holds, as plain dicts."""

import dataclasses
import math
from pathlib import Path
from typing import Any

from behavior_lm.artifacts import json_files
from behavior_lm.artifacts.evaluation import read_evaluations
from behavior_lm.artifacts.metrics import read_metrics
from behavior_lm.artifacts.probe import read_probe
from behavior_lm.common.errors import UserError


@dataclasses.dataclass(frozen=True)
class Run:
  """A run folder; None stands for a file that is not there (yet).

  Attributes:
    folder: where it is.
    name: of the folder.
    config: config.json.
    record: run.json, with the command that made the run.
    metrics: lines of metrics.jsonl, in order.
    data_report: data_report.json.
    dataset: dataset.json.
    evaluations: name -> record of `artifacts.evaluation`.
    probe: record of `artifacts.probe`.
    tokenizer: tokenizer/tokenizer.json.
    num_parameters: of the last checkpoint.
    embeddings: Parquet files.
  """

  folder: Path
  name: str
  config: dict[str, Any]
  record: dict[str, Any] | None
  metrics: list[dict[str, float]]
  data_report: dict[str, Any] | None
  dataset: dict[str, Any] | None
  evaluations: dict[str, dict[str, Any]]
  probe: dict[str, Any] | None
  tokenizer: dict[str, Any] | None
  num_parameters: int | None
  embeddings: tuple[Path, ...]


def read_run(folder: str | Path) -> Run:
  """Reads a run folder.

  Raises:
    UserError: if it is none, or one of its files is damaged.
  """
  folder = Path(folder)
  if not folder.is_dir():
    raise UserError(f"--run {folder}: no such folder.")
  if not (folder / "config.json").exists():
    raise UserError(
        f"--run {folder}: has no config.json, so it is no run folder. Name a"
        " folder that training made."
    )
  metrics, probe = folder / "metrics.jsonl", folder / "probe.json"
  return Run(
      folder=folder,
      name=folder.resolve().name,
      config=json_files.read_object(folder / "config.json"),
      record=json_files.read_if_there(folder / "run.json"),
      metrics=read_metrics(metrics) if metrics.exists() else [],
      data_report=json_files.read_if_there(folder / "data_report.json"),
      dataset=json_files.read_if_there(folder / "dataset.json"),
      evaluations=read_evaluations(folder),
      probe=read_probe(probe) if probe.exists() else None,
      tokenizer=json_files.read_if_there(
          folder / "tokenizer" / "tokenizer.json"
      ),
      num_parameters=_count_parameters(folder / "checkpoints"),
      embeddings=tuple(sorted((folder / "embeddings").glob("*.parquet"))),
  )


def _count_parameters(checkpoints: Path) -> int | None:
  """Sum over the shapes of parameters that the last checkpoint lists.

  Orbax writes them as JSON beside the arrays; None if there is no such file.
  """
  steps = [path for path in checkpoints.glob("*") if path.name.isdigit()]
  if not steps:
    return None
  last = max(steps, key=lambda path: int(path.name))
  path = last / "params" / "_METADATA"
  content = json_files.read_if_there(path)
  if content is None:
    return None
  with json_files.damage_named(str(path)):
    leaves = content["tree_metadata"].values()
    return sum(
        math.prod(leaf["value_metadata"]["write_shape"]) for leaf in leaves
    )

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

Content = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Run:
  """A run folder; None stands for a file that is not there (yet).

  Attributes:
    folder: where it is.
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
  config: Content
  record: Content | None
  metrics: list[dict[str, float]]
  data_report: Content | None
  dataset: Content | None
  evaluations: dict[str, Content]
  probe: Content | None
  tokenizer: Content | None
  num_parameters: int | None
  embeddings: list[Path]

  @property
  def name(self) -> str:
    return self.folder.resolve().name


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
  read = lambda name: json_files.read_if_there(folder / f"{name}.json")
  metrics, probe = folder / "metrics.jsonl", folder / "probe.json"
  return Run(
      folder=folder,
      config=json_files.read_object(folder / "config.json"),
      record=read("run"),
      metrics=read_metrics(metrics) if metrics.exists() else [],
      data_report=read("data_report"),
      dataset=read("dataset"),
      evaluations=read_evaluations(folder),
      probe=read_probe(probe) if probe.exists() else None,
      tokenizer=read("tokenizer/tokenizer"),
      num_parameters=_count_parameters(folder / "checkpoints"),
      embeddings=sorted((folder / "embeddings").glob("*.parquet")),
  )


def _count_parameters(checkpoints: Path) -> int | None:
  """Sum over the shapes of parameters that Orbax lists in the last checkpoint.

  None if there is no checkpoint, or no such list in it.
  """
  steps = [int(one.name) for one in checkpoints.glob("*") if one.name.isdigit()]
  path = checkpoints / str(max(steps, default="")) / "params" / "_METADATA"
  content = json_files.read_if_there(path)
  if content is None:
    return None
  with json_files.damage_named(str(path)):
    leaves = content["tree_metadata"].values()
    return sum(
        math.prod(leaf["value_metadata"]["write_shape"]) for leaf in leaves
    )

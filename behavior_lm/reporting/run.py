"""What a run folder holds, as far as it is there."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

from behavior_lm.artifacts import json_files
from behavior_lm.common.errors import UserError
from behavior_lm.data.tokenizers import load_tokenizer
from behavior_lm.data.tokenizers import Tokenizer
from behavior_lm.reporting import data_record
from behavior_lm.reporting import records


@dataclasses.dataclass(frozen=True)
class Run:
  """A run folder; None stands for a file that is not there (yet).

  Attributes:
    folder: where it is.
    name: of the folder.
    config: config.json.
    metrics: lines of metrics.jsonl, in order.
    data_report: data_report.json.
    dataset: dataset.json.
    evaluation: evaluation.json.
    probe: probe.json.
    tokenizer: of the run.
    num_parameters: of the model, from its last checkpoint.
    embeddings: Parquet files.
  """

  folder: Path
  name: str
  config: dict[str, Any]
  metrics: list[dict[str, float]] | None
  data_report: data_record.DataReport | None
  dataset: dict[str, Any] | None
  evaluation: records.Evaluation | None
  probe: records.Probe | None
  tokenizer: Tokenizer | None
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
        f"--run {folder}: no config.json, so no run folder of"
        " experiments/pretrain.py."
    )
  dataset = folder / "dataset.json"
  return Run(
      folder=folder,
      name=folder.resolve().name,
      config=json_files.read_object(folder / "config.json"),
      metrics=_read_metrics(folder / "metrics.jsonl"),
      data_report=json_files.parse_file(
          folder / "data_report.json", data_record.parse_data_report
      ),
      dataset=json_files.read_object(dataset) if dataset.exists() else None,
      evaluation=json_files.parse_file(
          folder / "evaluation.json", records.parse_evaluation
      ),
      probe=json_files.parse_file(folder / "probe.json", records.parse_probe),
      tokenizer=(
          load_tokenizer(folder / "tokenizer")
          if (folder / "tokenizer").exists()
          else None
      ),
      num_parameters=_count_parameters(folder / "checkpoints"),
      embeddings=tuple(sorted((folder / "embeddings").glob("*.parquet"))),
  )


def _read_metrics(path: Path) -> list[dict[str, float]] | None:
  if not path.exists():
    return None
  try:
    text = path.read_text(encoding="utf-8")
  except (OSError, UnicodeDecodeError) as error:
    raise UserError(f"{path}: cannot be read ({error}).") from error
  lines = text.split("\n")
  # A killed run leaves its last line half written; a running one, too.
  lines.pop()
  out = []
  for number, line in enumerate(lines, 1):
    where = f"{path}, line {number}"
    try:
      content = json.loads(line)
    except json.JSONDecodeError as error:
      raise UserError(f"{where}: not readable as JSON ({error}).") from error
    with json_files.damage_named(where):
      values = {str(key): float(value) for key, value in content.items()}
      values["step"] = int(content["step"])
    out.append(values)
  return out or None


def _count_parameters(checkpoints: Path) -> int | None:
  """Sum over the shapes that the last checkpoint lists.

  Orbax writes them as JSON beside the arrays. None when there is no
  checkpoint, or another version of Orbax tells the shapes elsewhere.
  """
  if not checkpoints.is_dir():
    return None
  steps = [path for path in checkpoints.iterdir() if path.name.isdigit()]
  if not steps:
    return None
  last = max(steps, key=lambda path: int(path.name))
  try:
    content = json.loads((last / "params" / "_METADATA").read_text())
    leaves = content["tree_metadata"].values()
    shapes = [leaf["value_metadata"]["write_shape"] for leaf in leaves]
    return sum(math.prod(shape) for shape in shapes)
  except (OSError, ValueError, KeyError, TypeError, AttributeError):
    return None

"""From a run folder to its report folder."""

from collections.abc import Mapping, Sequence
import contextlib
import math
from pathlib import Path
from typing import Any

import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.common.folders import atomic_folder
from behavior_lm.reporting import markup
from behavior_lm.reporting.data_section import data_section
from behavior_lm.reporting.map_section import map_section
from behavior_lm.reporting.page import GENERATOR
from behavior_lm.reporting.page import page
from behavior_lm.reporting.plots import Figure
from behavior_lm.reporting.records import EvaluationRow
from behavior_lm.reporting.results import evaluation_section
from behavior_lm.reporting.results import probe_section
from behavior_lm.reporting.run import Run
from behavior_lm.reporting.section import Section
from behavior_lm.reporting.training_section import model_section
from behavior_lm.reporting.training_section import reproduce_section
from behavior_lm.reporting.training_section import training_section
from behavior_lm.reporting.vectors import Vectors

PAGE = "index.html"


def make_report(
    run: Run,
    *,
    config_hash: str,
    programs: Mapping[str, Mapping[str, Any]],
    embeddings: Path | None = None,
    vectors: Vectors | None = None,
    labels: pl.DataFrame | None = None,
    report_flags: str = "",
) -> tuple[str, list[Figure]]:
  """The page and its figures; the same for the same inputs, to the byte.

  Args:
    run: what is in the run folder.
    config_hash: of its config.
    programs: what config programs give, see `reproduce.pretrain_command`.
    embeddings: the file of `vectors`.
    vectors: for the map, if there are any.
    labels: user_id, one row a user, and a 0/1 column a label.
    report_flags: flags of the command after --run, to be shown.
  """
  sections: list[Section] = [
      evaluation_section(run.evaluation, run.name, config_hash),
      training_section(run),
      probe_section(run.probe, run.name),
      map_section(run.name, config_hash, embeddings, vectors, labels),
      data_section(run.data_report),
      model_section(run, config_hash),
      reproduce_section(run, programs, report_flags),
  ]
  title, subtitle = f"Report on {run.name}", _subtitle(run, config_hash)
  html = page(title, subtitle, _tiles(run), sections)
  return html, [figure for part in sections for figure in part.figures]


def write_report(out: Path, html: str, figures: Sequence[Figure]) -> Path:
  """Writes the page and the PNGs, all or nothing; replaces an old report.

  Returns:
    The path of the page.

  Raises:
    UserError: if something that is no report is in the way.
  """
  if out.is_dir() and any(out.iterdir()) and not _is_report(out):
    raise UserError(
        f"--out {out}: holds files that are no report, so it is not replaced."
        " Choose another folder."
    )
  # What is in the way now is an empty folder or an old report.
  with atomic_folder(out, overwrite=True, is_ours=lambda _: True) as building:
    for figure in figures:
      (building / f"{figure.name}.png").write_bytes(figure.png)
    (building / PAGE).write_text(html, encoding="utf-8")
  return out / PAGE


def _is_report(folder: Path) -> bool:
  """Whether the folder holds a page of ours, its PNGs and nothing else."""
  for path in folder.iterdir():
    if path.name != PAGE and path.suffix != ".png":
      return False
  with contextlib.suppress(OSError):
    with (folder / PAGE).open("rb") as file:
      return f'content="{GENERATOR}"'.encode() in file.read(2_000)
  return False


def _subtitle(run: Run, config_hash: str) -> str:
  model = run.config.get("model")
  words = []
  if isinstance(model, Mapping) and "name" in model:
    words.append(str(model["name"]))
    if "time_encoding" in model:
      words[-1] += f" with time encoding {model['time_encoding']}"
  if run.num_parameters is not None:
    words.append(f"{markup.short(run.num_parameters)} parameters")
  if run.tokenizer is not None:
    words.append(
        f"{run.tokenizer.kind} tokenizer, {run.tokenizer.vocab_size:,} tokens"
    )
  if run.evaluation is not None:
    words.append(f"data {run.evaluation.data}")
  words.append(f"config {config_hash}")
  return " · ".join(words)


def _tiles(run: Run) -> list[tuple[str, str]]:
  """The results at a glance, wins and losses alike."""
  tiles = _evaluation_tiles(run) + _probe_tiles(run)
  if run.metrics is not None:
    step = int(run.metrics[-1]["step"])
    seconds = max(line.get("seconds", 0.0) for line in run.metrics)
    tiles.append((
        markup.count(step), f"training steps in {markup.duration(seconds)}"
    ))
  if run.data_report is not None:
    tiles.append((
        markup.short(run.data_report.num_events),
        f"events of {run.data_report.num_users:,} users",
    ))
  return tiles


def _evaluation_tiles(run: Run) -> list[tuple[str, str]]:
  if run.evaluation is None:
    return []
  models = [row for row in run.evaluation.rows if not row.is_baseline]
  models = [row for row in models if math.isfinite(row.bits)]
  if not models:
    return []
  best: EvaluationRow = min(models, key=lambda row: row.bits)
  tiles = [
      (markup.fixed(best.bits, 3), "bits per event, fewer is better"),
      (markup.fixed(best.perplexity, 2), "perplexity of masked events"),
      (markup.percent(best.accuracy), "masked events guessed"),
  ]
  if best.difference:
    tiles.insert(1, (
        markup.signed(best.difference.bits, 3),
        "bits to the best baseline; below zero is better",
    ))
  return tiles


def _probe_tiles(run: Run) -> list[tuple[str, str]]:
  """The vectors alone, each label."""
  if run.probe is None:
    return []
  return [
      (markup.fixed(row.auc, 3), f"AUC for {row.label} from the vectors")
      for row in run.probe.rows
      if row.features == "embedding"
  ][:4]

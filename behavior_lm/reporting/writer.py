"""From a run folder to its report folder."""

from collections.abc import Sequence
import contextlib
from pathlib import Path

import polars as pl

from behavior_lm.artifacts import evaluation
from behavior_lm.artifacts.json_files import damage_named
from behavior_lm.common.errors import UserError
from behavior_lm.common.folders import atomic_folder
from behavior_lm.reporting import markup
from behavior_lm.reporting import model_card
from behavior_lm.reporting import training_section
from behavior_lm.reporting.data_section import data_section
from behavior_lm.reporting.evaluation_section import evaluation_section
from behavior_lm.reporting.evaluation_section import sorted_rows
from behavior_lm.reporting.map_section import map_section
from behavior_lm.reporting.model_section import commands_section
from behavior_lm.reporting.model_section import model_section
from behavior_lm.reporting.page import GENERATOR
from behavior_lm.reporting.page import page
from behavior_lm.reporting.plots import Figure
from behavior_lm.reporting.probe_section import probe_section
from behavior_lm.reporting.run import Run
from behavior_lm.reporting.vectors import Vectors

PAGE = "index.html"


def make_report(
    run: Run,
    *,
    config_hash: str,
    command: str,
    vectors: Vectors | None = None,
    labels: pl.DataFrame | None = None,
) -> tuple[str, list[Figure]]:
  """The page and its figures; the same for the same inputs, to the byte.

  Args:
    run: what is in the run folder.
    config_hash: of its config.
    command: that makes the report.
    vectors: for the map, if there are any.
    labels: user_id, one row per user, and a 0/1 column per label.

  Raises:
    UserError: if an artifact of the run is damaged; it is named.
  """
  with damage_named(str(run.folder / "tokenizer" / "tokenizer.json")):
    model = model_section(run, config_hash)
  with damage_named(str(run.folder / "data_report.json")):
    data = data_section(run.data_report)
    num_events = run.data_report and run.data_report["num_events"]
  sections = [
      evaluation_section(run.evaluations, run.name, config_hash),
      training_section.training_section(run.metrics, run.config),
      probe_section(run.probe, run.name),
      map_section(run.name, config_hash, vectors, labels),
      data,
      model,
      commands_section(run, command),
  ]
  tiles = _evaluation_tiles(run)
  if run.probe is not None:
    tiles += [
        (f"{row['auc']:.3f}", f"AUC for {row['label']} from the vectors")
        for row in run.probe["rows"]
        if row["features"] == "embedding"
    ][:4]
  if run.metrics:
    steps, spent = training_section.progress(run.metrics)
    tiles.append((steps, f"training steps in {spent}"))
  if num_events:
    tiles.append((markup.short(num_events), "events in the dataset"))
  subtitle = _subtitle(run, config_hash)
  html = page(f"Report on {run.name}", subtitle, tiles, sections)
  return html, [figure for part in sections for figure in part.figures]


def write_report(
    out: Path, html: str, figures: Sequence[Figure], card: str = ""
) -> Path:
  """Writes the page, the PNGs and the model card; replaces an old report.

  All of them are written, or nothing.

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
    if card:
      (building / model_card.FILE).write_text(card, encoding="utf-8")
    (building / PAGE).write_text(html, encoding="utf-8")
  return out / PAGE


def _is_report(folder: Path) -> bool:
  """Whether the folder holds a page of ours and what belongs to it alone."""
  for path in folder.iterdir():
    if path.name not in (PAGE, model_card.FILE) and path.suffix != ".png":
      return False
  with contextlib.suppress(OSError):
    with (folder / PAGE).open("rb") as file:
      return f'content="{GENERATOR}"'.encode() in file.read(2_000)
  return False


def _subtitle(run: Run, config_hash: str) -> str:
  model = run.config.get("model")
  words = [(run.record or {}).get("recipe")]
  if isinstance(model, dict):
    words.append(model.get("name"))
    if "time_encoding" in model:
      words.append(f"time encoding {model['time_encoding']}")
  if run.num_parameters is not None:
    words.append(f"{markup.short(run.num_parameters)} parameters")
  words += dict.fromkeys(
      f"data {record['data']}" for record in run.evaluations.values()
  )
  words.append(f"config {config_hash}")
  return " · ".join(str(word) for word in words if word)


def _evaluation_tiles(run: Run) -> list[tuple[str, str]]:
  """The best model of each evaluation, wins and losses alike."""
  tiles = []
  for record in run.evaluations.values():
    main, title = evaluation.main_column(record), record["title"]
    models = [one for one in sorted_rows(record) if one["kind"] == "model"]
    for row in models[:1]:
      for column in record["columns"]:
        value = evaluation.shown(column, row["values"][column["name"]])
        tiles.append((value, f"{title}: {column['title']}"))
      if row["difference"]:
        value = evaluation.shown(main, row["difference"]["value"], "+")
        tiles.append((
            value,
            f"{title}: {main['title']} to the best baseline; {main['better']}"
            " is better",
        ))
  return tiles

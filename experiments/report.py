"""One page to look at: what a run learnt, from what data, how well.

  python experiments/report.py --run runs/gate --labels labels.csv

Writes RUN/report/index.html, which needs nothing else, every figure as a PNG
beside it, and MODEL_CARD.md. What is not there yet is left out, with the
command for it.
"""

from pathlib import Path
from typing import Any

from absl import flags

from behavior_lm.common.errors import run_command
from behavior_lm.common.errors import UserError
from behavior_lm.common.lock import held_beside

_RUN = flags.DEFINE_string("run", None, "A run folder of train.py.")
_LABELS = flags.DEFINE_string(
    "labels",
    "",
    "CSV or Parquet with user_id and columns of 0 or 1, to colour the map.",
)
_EMBEDDINGS = flags.DEFINE_string(
    "embeddings",
    "",
    "The file to map; the first of RUN/embeddings if not given.",
)
_OUT = flags.DEFINE_string(
    "out", "", "Folder to write; RUN/report if not given."
)


def main(argv: list[str]) -> None:
  """Reads, draws, writes."""
  del argv
  if not _RUN.value:
    raise UserError("--run is missing: name a run folder; see --help.")
  # Late imports: --help and usage errors come at once.
  from behavior_lm.reporting.run import read_run

  run = read_run(_RUN.value)
  out = Path(_OUT.value) if _OUT.value else run.folder / "report"
  with held_beside(out, f"--out {out}"):
    _make(run, out)


def _make(run: Any, out: Path) -> None:
  """Draws and writes the report of a run that was read."""
  import ml_collections

  from behavior_lm.artifacts.commands import this_command
  from behavior_lm.artifacts.json_files import damage_named
  from behavior_lm.artifacts.run_folder import config_hash
  from behavior_lm.downstream.labels import read_labels
  from behavior_lm.reporting.model_card import model_card
  from behavior_lm.reporting.vectors import read_vectors
  from behavior_lm.reporting.writer import make_report
  from behavior_lm.reporting.writer import write_report

  embeddings = Path(_EMBEDDINGS.value) if _EMBEDDINGS.value else None
  if embeddings is None and run.embeddings:
    embeddings = run.embeddings[0]
    if len(run.embeddings) > 1:
      print(
          f"of {len(run.embeddings)} files in {embeddings.parent},"
          f" {embeddings.name} is mapped; --embeddings chooses another"
      )
  vectors = read_vectors(embeddings) if embeddings else None
  labels = None
  if _LABELS.value:
    if vectors is None:
      raise UserError(
          f"--labels {_LABELS.value}: there are no embeddings to colour in"
          f" {run.folder / 'embeddings'}. Run experiments/embed.py first, or"
          " pass --embeddings."
      )
    found = read_labels(_LABELS.value, vectors.all_users)
    labels = found.table
    for name, why in found.ignored_columns.items():
      print(f"column {name!r} is no label: {why}")
  hashed = config_hash(ml_collections.ConfigDict(run.config))
  html, figures = make_report(
      run,
      config_hash=hashed,
      command=this_command(),
      vectors=vectors,
      labels=labels,
  )
  with damage_named(str(run.folder)):
    card = model_card(run, hashed)
  page = write_report(out, html, figures, card)
  print(f"report: {page} ({len(html) / 1e6:.1f} MB, {len(figures)} figures)")


if __name__ == "__main__":
  run_command(main)

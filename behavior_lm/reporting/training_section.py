"""Sections about how the model was made: curves, parts, commands."""

from collections.abc import Mapping
from typing import Any

from behavior_lm.artifacts.commands import without_folders
from behavior_lm.artifacts.json_files import damage_named
from behavior_lm.logs import schema
from behavior_lm.reporting import curves
from behavior_lm.reporting import markup
from behavior_lm.reporting import reproduce
from behavior_lm.reporting.run import Run
from behavior_lm.reporting.section import figure_grid
from behavior_lm.reporting.section import Section


def training_section(run: Run) -> Section:
  """The curves."""
  if run.metrics is None:
    missing = markup.to_get_it(
        "metrics.jsonl has no lines yet. To train, or to go on:",
        "python experiments/pretrain.py --workdir"
        f" runs/{run.name} --config configs/pretrain.py"
        " --config.data.path=DATA",
    )
    return Section("training", "Training", missing, [])
  figures = curves.training_figures(run.metrics)
  last = run.metrics[-1]
  spent = max(line.get("seconds", 0.0) for line in run.metrics)
  planned = run.config.get("total_steps")
  lost = curves.lost_lines(run.metrics)
  text = (
      f"{int(last['step']):,} of {planned:,} steps"
      if isinstance(planned, int)
      else f"{int(last['step']):,} steps"
  )
  body = markup.join(
      markup.paragraph(
          f"{text} in {markup.duration(spent)},"
          f" {len(run.metrics):,} lines of metrics.jsonl. Each point is a mean"
          " over the steps since the line before; where there are forty lines"
          " or more, a smoothed curve (a moving mean over a twentieth of the"
          " run) lies over them."
      ),
      markup.notice(
          f"The loss is not a finite number in {lost:,} lines: this run"
          " diverged. Those lines are not drawn. A lower learning rate or"
          " clip_norm is the first thing to try."
      )
      if lost
      else None,
      figure_grid(figures),
  )
  return Section("training", "Training", body, figures)


def model_section(run: Run, config_hash: str) -> Section:
  """What was trained: sizes, tokenizer, every value of the config."""
  rows: list[list[object]] = [
      [markup.code(key), markup.code(reproduce.shown(value))]
      for key, value in sorted(reproduce.flat(run.config).items())
  ]
  body = markup.join(
      markup.definitions(_facts(run, config_hash)),
      markup.details(
          f"All {len(rows)} values of the config",
          markup.table(["name", "value"], rows, text_columns=2),
          markup.paragraph(
              "The hash is over all values that the result depends on. Paths"
              " are shortened to their last part.",
              class_="note",
          ),
      ),
  )
  return Section("model", "Model and config", body, [])


def _facts(run: Run, config_hash: str) -> list[tuple[str, object]]:
  model = run.config.get("model")
  model = model if isinstance(model, Mapping) else {}
  facts: list[tuple[str, object]] = [("config hash", markup.code(config_hash))]
  for key in ("name", "time_encoding", "num_layers", "embed_dim", "num_heads"):
    if key in model:
      facts.append((key.replace("_", " "), str(model[key])))
  facts[1:1] = [(
      "parameters",
      "no checkpoint tells it"
      if run.num_parameters is None
      else f"{run.num_parameters:,}",
  )]
  if run.tokenizer is None:
    facts.append(("tokenizer", "none in the run folder"))
    return facts
  tokenizer = run.tokenizer
  return [
      *facts,
      ("tokenizer", tokenizer.kind),
      (
          "vocabulary",
          f"{tokenizer.vocab_size:,} tokens over"
          f" {len(tokenizer.alphabet.pairs):,} pairs and"
          f" {len(tokenizer.alphabet.events):,} events alone; special"
          f" {schema.NUM_SPECIAL}",
      ),
      ("tokenizer fingerprint", markup.code(tokenizer.fingerprint[:12])),
  ]


def reproduce_section(
    run: Run, programs: Mapping[str, Mapping[str, Any]], report_flags: str
) -> Section:
  """Command lines, in order.

  Args:
    run: the run.
    programs: see `reproduce.pretrain_command`.
    report_flags: of this report, after --run.
  """
  where = f"runs/{run.name}"
  lines = []
  if run.dataset is not None:
    with damage_named(str(run.folder / "dataset.json")):
      lines.append(reproduce.prepare_command(run.dataset))
  lines.append(reproduce.pretrain_command(run.config, run.name, programs))
  evaluated = run.evaluation and run.evaluation.command
  lines.append(
      without_folders(evaluated)
      if evaluated
      else f"python experiments/evaluate.py --runs {where} --data DATA"
  )
  if run.probe and run.probe.command:
    lines.append(without_folders(run.probe.command))
  lines.append(f"python experiments/report.py --run {where}{report_flags}")
  fingerprint = (run.dataset or {}).get("fingerprint")
  body = markup.join(
      markup.paragraph(
          "On the same machine the same commands give the same numbers. DATA"
          " stands for the dataset folder."
      ),
      markup.command("\n\n".join(lines)),
      markup.definitions([("dataset fingerprint", markup.code(fingerprint))])
      if isinstance(fingerprint, str)
      else None,
  )
  return Section("reproduce", "Reproduce", body, [])

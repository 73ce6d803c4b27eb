"""Sections about what was trained, and the commands that made it."""

import json
from pathlib import PurePath
from typing import Any

from behavior_lm.artifacts.commands import without_folders
from behavior_lm.artifacts.run_folder import flatten
from behavior_lm.reporting import markup
from behavior_lm.reporting.markup import tag
from behavior_lm.reporting.page import Section
from behavior_lm.reporting.run import Run


def model_section(run: Run, config_hash: str) -> Section:
  """What was trained: sizes, tokenizer, every value of the config."""
  facts: list[tuple[str, object]] = [("config hash", tag("code", config_hash))]
  if run.num_parameters is not None:
    facts.append(("parameters", f"{run.num_parameters:,}"))
  values = flatten(run.config)
  for name in ("name", "time_encoding", "num_layers", "embed_dim", "num_heads"):
    if f"model.{name}" in values:
      facts.append((f"model.{name}", shown(values[f"model.{name}"])))
  if run.tokenizer is not None:
    facts += [
        ("tokenizer", run.tokenizer["kind"]),
        ("pairs in its alphabet", f"{len(run.tokenizer['pairs']):,}"),
        ("events alone in it", f"{len(run.tokenizer['events']):,}"),
        (
            "tokenizer fingerprint",
            tag("code", run.tokenizer["fingerprint"][:12]),
        ),
    ]
  rows = [
      [tag("code", name), tag("code", shown(value))]
      for name, value in sorted(values.items())
  ]
  table = markup.table(["name", "value"], rows, text_columns=2)
  body = markup.join(
      markup.definitions(facts),
      markup.details(f"All {len(rows)} values of the config", table),
  )
  return Section("model", "Model and config", body)


def commands_section(run: Run, report_command: str) -> Section:
  """The commands that made the dataset, the run and its results."""
  made_by = [run.dataset, run.record, *run.evaluations.values(), run.probe]
  lines = [str(one["command"]) for one in made_by if one and "command" in one]
  lines = [without_folders(line) for line in [*lines, report_command]]
  fingerprint = (run.dataset or {}).get("fingerprint", "unknown")
  body = markup.join(
      markup.paragraph(
          "These commands made what this page shows, as far as they were"
          " recorded. Folders are shortened to their last part."
      ),
      markup.commands("\n\n".join(dict.fromkeys(lines))),
      markup.definitions([("dataset fingerprint", tag("code", fingerprint))]),
  )
  return Section("reproduce", "Reproduce", body)


def shown(value: Any) -> str:
  """A value of a config; of a path, its last part alone.

  Reports are passed around, and nobody else needs to know where files lie.
  """
  if isinstance(value, str):
    return PurePath(value).name if PurePath(value).is_absolute() else value
  return json.dumps(value)

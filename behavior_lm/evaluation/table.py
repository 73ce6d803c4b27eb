"""The evaluation table: models beside plain baselines, on the same events."""

from collections.abc import Mapping
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from behavior_lm.artifacts.scores import SequenceScores
from behavior_lm.baselines.count_baselines import FULL_CONTEXT
from behavior_lm.common.files import write_whole
from behavior_lm.evaluation.statistics import bootstrap_difference
from behavior_lm.evaluation.statistics import bootstrap_ratio

# Columns of a terminal in which the table does not wrap.
_WIDTH = 130

_NOTE = (
    "Masked events of later days or other users, one fixed mask for all rows."
    " Bits per raw event charge 8 bits a byte for what a capped vocabulary"
    " leaves out. Intervals: 95 %, bootstrap over users; difference: bits per"
    " event to the best baseline that sees the same context, paired by user."
    f" '{FULL_CONTEXT}' sees true neighbours even where they are masked: not a"
    " fair rival, but a line to know."
)


def make_rows(
    models: Mapping[str, SequenceScores],
    seeds: Mapping[str, int],
    baselines: Mapping[str, SequenceScores],
) -> list[dict[str, Any]]:
  """One dict a row, models first.

  Args:
    models: name -> scores.
    seeds: name -> seed of the model.
    baselines: name -> scores on the same masked events.

  Returns:
    rows as in evaluation.json. With fewer than two users there are no
    intervals: their fields are None.
  """
  fair = {k: v for k, v in baselines.items() if k != FULL_CONTEXT}
  best = min(fair, key=lambda name: fair[name].summary()["bits_per_event"])
  rows = []
  for name, scores in {**models, **baselines}.items():
    row: dict[str, Any] = {"model": name, **scores.summary()}
    many_users = len(set(scores.users[scores.count > 0])) > 1
    row["bits_per_event_ci"] = (
        bootstrap_ratio(scores.bits, scores.num_events, scores.users).interval
        if many_users
        else None
    )
    if name in models:
      row["seed"] = seeds[name]
      row["difference_to_best_baseline"] = None
      if many_users:
        gap = bootstrap_difference(
            scores.bits, fair[best].bits, scores.num_events, scores.users
        )
        row["difference_to_best_baseline"] = {
            "baseline": best,
            "bits": gap.value,
            "ci": gap.interval,
            "p": gap.p,
        }
    rows.append(row)
  return rows


def to_markdown(result: Mapping[str, Any]) -> str:
  """The table as Markdown, with what made it."""
  lines = [
      f"Data: {result['data']}, split `{result['split']}`,"
      f" {result['num_masked']:,} masked tokens; {result['num_events']:,}"
      f" events of {result['num_users']:,} users; mask seed"
      f" {result['mask_seed']}.",
      "",
      "| model | perplexity | accuracy | bits per event | difference |",
      "|---|---|---|---|---|",
  ]
  for row in result["rows"]:
    lines.append("| " + " | ".join(cells(row)) + " |")
  lines += ["", _NOTE, "", "Made by:", "", f"    {result['command']}", ""]
  return "\n".join(lines)


def show(result: Mapping[str, Any]) -> None:
  """The table on the screen."""
  table = Table(title=f"{result['data']}, {result['split']}")
  table.add_column("model")
  for name in ("perplexity", "accuracy", "bits per event", "difference"):
    table.add_column(name, justify="right")
  for row in result["rows"]:
    table.add_row(*cells(row))
  # A log or a narrow terminal scrolls; wrapped figures cannot be compared.
  Console(width=max(Console().width, _WIDTH)).print(table)


def write(result: Mapping[str, Any], folder: Path, name: str) -> list[Path]:
  """Writes NAME.json and NAME.md, each whole or not at all."""
  folder.mkdir(parents=True, exist_ok=True)
  texts = {
      folder / f"{name}.json": json.dumps(result, indent=1) + "\n",
      folder / f"{name}.md": to_markdown(result),
  }
  for path, text in texts.items():
    write_whole(path, text)
  return list(texts)


def cells(row: Mapping[str, Any]) -> list[str]:
  """A row as text: model, perplexity, accuracy, bits per event, difference."""
  interval = row["bits_per_event_ci"]
  bits = f"{row['bits_per_event']:.3f}"
  if interval:
    bits += f" ({interval[0]:.3f} to {interval[1]:.3f})"
  gap = row.get("difference_to_best_baseline")
  difference = (
      f"{gap['bits']:+.3f} ({gap['ci'][0]:+.3f} to {gap['ci'][1]:+.3f},"
      f" p {gap['p']:.4f})"
      if gap
      else ""
  )
  return [
      row["model"],
      f"{row['perplexity']:.2f}",
      f"{row['accuracy']:.1%}",
      bits,
      difference,
  ]

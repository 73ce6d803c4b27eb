"""The study of encoders as Markdown; what each figure means is said there."""

from collections.abc import Mapping
from typing import Any

from behavior_lm.artifacts import evaluation
from behavior_lm.baselines.count_baselines import FULL_CONTEXT
from behavior_lm.common import markdown
from behavior_lm.evaluation import table
from experiments.studies.encoders.encoder_tables import COLUMNS

_HEAD = (
    "run",
    "perplexity a token",
    "accuracy",
    "bits per raw event",
    "difference to neighbours",
    "difference to the best run",
    "seed",
    "length",
    "steps",
    "tokens/s",
    "events/s",
    "minutes (with compilation)",
    "parameters",
    "padding",
    "code",
)
_RECORD = {"columns": COLUMNS, "main": table.TOKEN_MAIN}
_NO_RUN = 10  # columns that a baseline leaves empty

_TOKENS = {
    "pair": "Pair tokens: one an event",
    "bpe": "BPE tokens: chains of events",
}


def to_markdown(result: Mapping[str, Any]) -> str:
  """The tables, with what made them.

  Args:
    result: of `encoder_tables.make_result`, with `data`, `machine`, `command`
      and `figure`.
  """
  reached = [
      row["run"]["minutes"]
      for group in result["groups"]
      for row in group["rows"]
      if "run" in row
  ]
  lines = [
      f"Encoders, each planned for {result['minutes']:g} minutes of training"
      f" steps ({min(reached):.1f} to {max(reached):.1f} reached) on `train` of"
      f" {result['data']}, on {result['machine']}; scored on all of"
      f" `{result['split']}`: {result['num_events']:,} events of"
      f" {result['num_users']:,} users, {result['mask_rate']:.0%} of each"
      f" sequence's tokens hidden (mask seed {result['mask_seed']}), the same"
      " for every row of a table.",
  ]
  for group in result["groups"]:
    spanned = group["num_hidden_events"] / group["num_masked"]
    lines += [
        "",
        f"## {_TOKENS[group['tokens']]}",
        "",
        f"Vocabulary {group['vocab_size']:,}; {group['num_masked']:,} hidden"
        f" tokens of {group['num_hidden_events']:,} events ({spanned:.2f}"
        " events a token).",
        "",
        markdown.table(_HEAD, [_cells(row) for row in group["rows"]]),
    ]
  if result["same_events"]:
    lines += [
        "",
        "## The same hidden events, by way of tokens",
        "",
        markdown.table(
            [
                "",
                "hidden events",
                "bits per event, pair tokens",
                "bits per event, BPE",
                "BPE minus pair",
            ],
            [
                [
                    row["model"],
                    f"{row['num_hidden_events']:,}",
                    f"{row['bits_per_event_single']:.3f}",
                    f"{row['bits_per_event_chains']:.3f}",
                    _change(row["difference"]),
                ]
                for row in result["same_events"]
            ],
        ),
    ]
  lines += [
      "",
      f"![Bits per event and training loss]({result['figure']})",
      "",
      _NOTE,
  ]
  if result["same_events"]:
    lines += ["", _NOTE_SAME]
  lines += ["", "Made by:", "", f"    {result['command']}", ""]
  return "\n".join(lines)


def _cells(row: Mapping[str, Any]) -> list[str]:
  cells = evaluation.cells(_RECORD, row)
  run = row.get("run")
  if run is None:
    return cells + [""] * _NO_RUN
  best = "difference_to_best" not in row
  return cells + [
      "best" if best else _change(row["difference_to_best"]),
      f"{run['seed']}",
      f"{run['length']:,} x {run['rows']}",
      f"{run['steps']:,}",
      f"{run['tokens_per_second']:,.0f}",
      f"{run['events_per_second']:,.0f}",
      f"{run['minutes']:.1f} ({run['wall_minutes']:.1f})",
      f"{run['num_params'] / 1e6:.2f} M",
      f"{run['padding_share']:.2%}",
      # Runs of before this was recorded have none.
      run.get("code", ""),
  ]


def _change(gap: Mapping[str, Any] | None) -> str:
  if gap is None:
    return ""
  low, high = gap["ci"]
  p = evaluation.p_text(gap["p"])
  return f"{gap['value']:+.3f} ({low:+.3f} to {high:+.3f}, p {p})"


_NOTE = (
    "Every run is planned for the same minutes of training steps, reading its"
    " batches included; compilation and evaluation come on top, saving once a"
    " minute is inside the minutes reached. A probe measured the seconds of a"
    " step before, and the schedule of the learning rate ends with the steps"
    " that fit: those of the table. Where the minutes reached differ, the"
    " machine was slower or faster than in the probe. A second seed takes the"
    " steps of the first. Code is the commit at which a run was trained, with a"
    " + if it was changed: where they differ, speed and the order of sums may"
    " differ too. Sizes, positions, norms, learning rate and masking are those"
    " of configs/pretrain.py, which were chosen for BERT with windows of 128;"
    " nothing was tuned for longer rows or another model. Length is tokens a"
    " row x rows a batch; tokens/s counts all positions, events/s raw events"
    " read. Bits per raw event: of all hidden tokens, over the events that they"
    " span, with 8 bits"
    " a byte for what a capped vocabulary leaves out. Intervals: 95 %,"
    " bootstrap over users, the differences paired by user; they tell how a"
    " result would vary over users, a second seed how it varies over training"
    " runs. The difference to neighbours is to the best"
    f" count model that sees the same context; '{FULL_CONTEXT}' sees true"
    " neighbours even where they are hidden: no fair rival, but a line to"
    " know. Figures of different tables must not be compared: a hidden pair"
    " token is one event between its true neighbours, a hidden BPE token is a"
    " chain of events, whose neighbours are far."
)

_NOTE_SAME = (
    "The same hidden events: here pair tokens are hidden wherever a hidden BPE"
    " token lies, so both are asked for the same events with the same events"
    " visible. What remains different is stated, not corrected: over pair"
    " tokens each event of a hidden chain is guessed alone, without those"
    " beside it, and the number of hidden places tells how long the chain is;"
    " over BPE the chain is guessed whole, its length included, while the"
    " pieces around it tell where it cannot begin or end. The pair runs were"
    " trained with single events hidden, not chains."
)

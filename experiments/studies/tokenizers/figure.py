"""The tokenizer study as Markdown and as a figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from behavior_lm.common.markdown import table
from experiments.studies.results import save_figure

Row = Mapping[str, Any]

_HEAD = (
    "tokenizer",
    "tokens",
    "exact",
    "event alone",
    "unknown",
    "events a token",
    "mean length",
    "p95 length",
    "longest token",
    "tokens in use",
    "unigram bits an event",
    "encoded events/s",
)


def to_markdown(result: Mapping[str, Any]) -> str:
  """The table, with what made it.

  Args:
    result: of experiments/studies/tokenizers/run.py.
  """
  lines = [
      f"Trained on `train` of {result['data']}, measured on"
      f" `{result['split']}`: {result['num_sequences']:,} sequences of"
      f" {result['rows'][0]['mean_events']:,.0f} events on average.",
      "",
      table(_HEAD, [_cells(row) for row in result["rows"]]),
      "",
      _NOTE,
      "",
  ]
  for text, events in result.get("round_trips", {}).items():
    lines.append(f"Decoding gave all {events:,} events back: {text}.")
  lines += ["", "Made by:", "", f"    {result['command']}", ""]
  return "\n".join(lines)


def _cells(row: Row) -> list[str]:
  coverage = row["coverage"]
  return [
      row["settings"].replace(",", ", "),
      f"{row['vocab_size']:,}",
      f"{coverage['exact']:.2%}",
      f"{coverage['event_alone']:.2%}",
      f"{coverage['unknown']:.3%}",
      f"{row['compression']:.2f}",
      f"{row['mean_tokens']:,.0f}",
      f"{row['p95_tokens']:,.0f}",
      f"{row['longest_token_events']:,}",
      f"{row['used_tokens']:,}",
      f"{row['unigram_bits_per_event']:.2f}",
      f"{row['encode_events_per_second'] / 1e6:.1f} M",
  ]


def pieces_markdown(rows: Sequence[Row]) -> str:
  """The longest and most frequent chains of each tokenizer.

  They are stretches of real histories: what the log's owner may not publish
  does not belong beside the table.
  """
  lines = []
  for row in rows:
    if not row["pieces"]["num_chains"]:
      continue
    lines += [f"## {row['settings']}", ""]
    for title in ("most_frequent", "longest"):
      lines += [f"{title.replace('_', ' ').capitalize()}:", ""]
      for piece in row["pieces"][title]:
        lines.append(
            f"- {piece['count']:,} times, {piece['events']} events:"
            f" `{piece['name'][:300]}`"
        )
      lines.append("")
  return "\n".join(lines)


def draw(rows: Sequence[Row], path: Path) -> None:
  """Frequency against rank, and length against vocabulary; a PNG."""
  figure = Figure(figsize=(11, 4.5), layout="constrained")
  left, right = figure.subplots(1, 2)
  drawn = set()
  for row in rows:
    label = f"{row['settings'].split(',')[0]} {row['vocab_size']:,}"
    if label in drawn:
      continue  # Other settings of one size lie on each other.
    drawn.add(label)
    ranks, counts = zip(*row["frequencies"], strict=True)
    left.loglog(ranks, counts, linewidth=1, label=label)
  left.set_xlabel("rank of the token")
  left.set_ylabel("occurrences")
  left.set_title("Token frequencies")
  left.legend(fontsize=6, ncol=2)
  for kind, marker in (("pair", "s"), ("bpe", "o")):
    own = [row for row in rows if row["settings"].startswith(kind)]
    right.scatter(
        [row["vocab_size"] for row in own],
        [row["mean_tokens"] for row in own],
        marker=marker,
        label=kind,
    )
  right.set_xscale("log")
  right.set_ylim(bottom=0)
  right.set_xlabel("tokens in the vocabulary")
  right.set_ylabel("tokens a sequence, mean")
  right.set_title("Length of a sequence")
  right.legend()
  save_figure(figure, path, 120)


_NOTE = (
    "`exact`, `event alone` and `unknown` are shares of events: told whole,"
    " without their design, not at all. Collapsed repeats are counted, not"
    " lost. Unigram bits are the entropy of the tokens over the raw events,"
    " without what event-alone, unknown and collapsed tokens leave out."
)

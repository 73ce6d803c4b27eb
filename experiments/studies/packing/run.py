r"""How much of a batch is padding, by way of packing and length of a row.

  python experiments/studies/packing/run.py --data DATA --tokenizer TOKENIZER

On log-normal lengths, and on the sequences of a dataset folder of
experiments/prepare.py: pair tokens (one an event), and those of a tokenizer
folder. Writes experiments/results/packing.{json,md} and a figure for each set
of lengths: figures only, no row or id of a log.
"""

from typing import Any

from absl import flags
import numpy as np

from behavior_lm.artifacts.commands import this_command
from behavior_lm.common.errors import run_command
from behavior_lm.common.errors import UserError
from behavior_lm.common.markdown import table
from experiments.studies.packing import packing_study
from experiments.studies.results import checked_out
from experiments.studies.results import write_result

_DATA = flags.DEFINE_string("data", "", "A dataset folder; empty is none.")
_SPLITS = flags.DEFINE_list(
    "splits", [], "Its splits, together; empty is all of them."
)
_TOKENIZER = flags.DEFINE_string(
    "tokenizer", "", "A tokenizer folder, to count its tokens as well."
)
_CAPACITIES = flags.DEFINE_list(
    "capacities", ["512", "1024", "2048", "4096", "8192"], "Tokens a row."
)
_NUMBER = flags.DEFINE_integer("num_lengths", 10_000, "Log-normal lengths.")
_MEAN = flags.DEFINE_float("mean", 3_000, "Of the log-normal lengths.")
_SIGMA = flags.DEFINE_float(
    "sigma",
    0.83,
    "Of their logarithms; the default is that of the user-days of a real game"
    " server (justice map_204), whose mean is 2,933.",
)
_OPEN_ROWS = flags.DEFINE_integer(
    "open_rows", 64, "Rows that a stream fills at the same time."
)
_MAX_SEGMENTS = flags.DEFINE_integer(
    "max_segments",
    None,
    "Pieces a row; not given: one for 128 tokens, at least 8, as in training.",
)
_SEED = flags.DEFINE_integer("seed", 0, "Of the lengths and their order.")
_OUT = flags.DEFINE_string(
    "out", "experiments/results/packing", "Result files without their endings."
)


def main(argv: list[str]) -> None:
  """Packs each set of lengths in every way, writes tables and figures."""
  del argv
  out = checked_out(_OUT.value)
  if _TOKENIZER.value and not _DATA.value:
    raise UserError("--tokenizer needs the sequences of a dataset: --data DIR.")
  capacities = [_capacity(text) for text in _CAPACITIES.value]
  limits = packing_study.Limits(_MAX_SEGMENTS.value, _OPEN_ROWS.value)
  name = f"log-normal, mean {_MEAN.value:,.0f}, sigma {_SIGMA.value:g}"
  drawn = packing_study.log_normal_lengths(
      _NUMBER.value, mean=_MEAN.value, sigma=_SIGMA.value, seed=_SEED.value
  )
  sets = {"log_normal": (name, drawn)}
  if _DATA.value:
    sets |= _of_dataset()
  parts: list[dict[str, Any]] = []
  pictures = {}
  for key, (name, lengths) in sets.items():
    print(f"{name}: {len(lengths):,} sequences", flush=True)
    rows = packing_study.study(lengths, capacities, limits, seed=_SEED.value)
    part: dict[str, Any] = {
        "name": name,
        "sequences": len(lengths),
        "mean": float(lengths.mean()),
        "sigma": float(np.log(np.maximum(lengths, 1)).std()),
        "figure": f"{out.name}_{key}.png",
        "rows": rows,
    }
    pictures[f"_{key}.png"] = _figure(part)
    parts.append(part)
  result = {
      "command": this_command(),
      "seed": _SEED.value,
      "max_segments": limits.max_segments,
      "open_rows": limits.open_rows,
      "lengths": parts,
  }
  page = _markdown(result)
  print(page)
  write_result(out, result, page, pictures)


def _capacity(text: str) -> int:
  if not text.strip().isdigit() or int(text) < 2:
    raise UserError(
        f"--capacities: {text!r} is not a number of tokens; a row holds CLS"
        " and at least one more, so 2 is the least."
    )
  return int(text)


def _of_dataset() -> dict[str, tuple[str, np.ndarray]]:
  """{key: (name, lengths)} of the dataset's events, and of its tokens."""
  from behavior_lm.logs.dataset import open_dataset

  dataset = open_dataset(_DATA.value)
  splits = _SPLITS.value or dataset.splits
  events = [
      dataset.sequences(split)["num_events"].to_numpy() for split in splits
  ]
  label = dataset.path.absolute().name
  found = {"events": (f"{label}, pair tokens", np.concatenate(events))}
  if _TOKENIZER.value:
    from behavior_lm.data.token_lengths import token_lengths
    from behavior_lm.data.token_source import open_tokens
    from behavior_lm.data.tokenizers import load_tokenizer

    tokenizer = load_tokenizer(_TOKENIZER.value)
    tokens = [
        token_lengths(dataset, split, open_tokens(dataset, split, tokenizer))
        for split in splits
    ]
    size = f"{tokenizer.kind}, vocabulary {tokenizer.vocab_size:,}"
    found["tokens"] = (f"{label}, {size}", np.concatenate(tokens))
  return found


def _figure(part: dict[str, Any]) -> bytes:
  from behavior_lm.reporting import plots

  def paint(axes: plots.Axes) -> None:
    shares = []
    for place, method in enumerate(packing_study.METHODS):
      rows = [row for row in part["rows"] if row["method"] == method]
      # Half a thousandth of a percent stands for nothing on a log axis.
      share = [max(row["padding_share"], 5e-6) for row in rows]
      shares += share
      axes.plot(
          [row["capacity"] for row in rows],
          share,
          color=plots.COLOURS[plots.SERIES[place % 4]],
          marker=plots.MARKERS[place % 4],
          linestyle="-" if place < 4 else "--",
          markersize=5,
          linewidth=1.6,
          label=method,
      )
    capacities = [row["capacity"] for row in part["rows"]]
    plots.log_axis(axes, "x", min(capacities), max(capacities))
    axes.set_xticks(
        sorted(set(capacities)), [f"{c:,}" for c in sorted(set(capacities))]
    )
    axes.set_yscale("log")
    axes.set_ylim(min(shares) / 1.5, 1)
    axes.yaxis.set_major_formatter(plots.percent_ticks)
    axes.axhline(0.02, color=plots.COLOURS["faint"], linewidth=1, linestyle=":")
    axes.set_title(part["name"], fontsize=10)
    axes.set_xlabel("tokens a row")
    axes.set_ylabel("padding")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))

  return plots.draw("packing", "Padding", "", paint, size=(7.0, 3.4)).png


def _markdown(result: dict[str, Any]) -> str:
  lines = [
      "# Padding by way of packing and length of a row",
      "",
      "    " + result["command"],
      "",
      "Share of the positions of all rows that hold no token. Sequences longer"
      " than a row are cut in windows, each begins with CLS; windows come in a"
      f" random order (seed {result['seed']}). At most"
      f" {result['max_segments'] or 'one piece for 128 tokens, at least 8'}"
      " pieces a row. First-fit, best-fit and Grain's best-fit stream with"
      f" {result['open_rows']} rows open (Grain gives all of them away when a"
      " piece fits in none; ours closes the fullest). Training knows all"
      " lengths beforehand and plans: longest first, or best-fit with all rows"
      " open where that makes fewer rows. A star: some row holds as many"
      " pieces as it may, more of them would leave less padding.",
  ]
  for part in result["lengths"]:
    lines += [
        "",
        f"## {part['name']}",
        "",
        f"{part['sequences']:,} sequences, mean {part['mean']:,.0f} tokens,"
        f" standard deviation of their logarithms {part['sigma']:.2f}.",
        "",
        _table(part["rows"]),
        "",
        f"![{part['name']}]({part['figure']})",
    ]
  return "\n".join(lines) + "\n"


def _table(rows: list[dict[str, Any]]) -> str:
  """Ways of packing down, tokens per row across."""
  capacities = list(dict.fromkeys(row["capacity"] for row in rows))
  cells = {(row["capacity"], row["method"]): row for row in rows}
  lines = []
  for method in packing_study.METHODS:
    found = [cells[capacity, method] for capacity in capacities]
    stars = [row["max_segments"] == row["segment_limit"] for row in found]
    lines.append([
        method,
        *(
            _percent(row["padding_share"]) + " *" * star
            for row, star in zip(found, stars, strict=True)
        ),
    ])
  best = [cells[capacity, "best-fit"] for capacity in capacities]
  lines += [
      ["sequences cut", *(_percent(row["cut_share"]) for row in best)],
      [
          "segments per row, best-fit",
          *(f"{row['segments_a_row']:.2f}" for row in best),
      ],
      ["rows, best-fit", *(f"{row['rows']:,}" for row in best)],
  ]
  return table(["", *(f"{capacity:,}" for capacity in capacities)], lines)


def _percent(share: float) -> str:
  return f"{100 * share:.3f} %" if share < 0.001 else f"{100 * share:.2f} %"


if __name__ == "__main__":
  run_command(main)

r"""The vocabulary study: pair tokens and BPE of several sizes side by side.

  python experiments/studies/tokenizers/run.py --data DATA --out OUT
  python experiments/studies/tokenizers/run.py --data DATA --out OUT \
      --tokenizer pair,vocab_size=7000 \
      --tokenizer bpe,vocab_size=50000,alphabet_size=3000,sessions=1800

Writes OUT.json, OUT.md (the table), OUT.png (token frequencies, lengths) and,
with --pieces, OUT_pieces.md: the longest and most frequent chains as events.
"""

from pathlib import Path
from typing import Any

from absl import flags

from behavior_lm.common.errors import run_command
from behavior_lm.common.errors import UserError
from behavior_lm.common.files import write_whole
from experiments.studies.results import beside
from experiments.studies.results import write_result

_DATA = flags.DEFINE_string(
    "data", None, "A dataset folder of experiments/prepare.py."
)
_OUT = flags.DEFINE_string("out", "tokenizers", "Files to write, no ending.")
_SPLIT = flags.DEFINE_string(
    "split", "", "Where it is measured; test, or train if there is none."
)
_TOKENIZER = flags.DEFINE_multi_string(
    "tokenizer",
    [],
    "KIND,name=value,...; may be repeated. A list of 17 if not given.",
)
_PIECES = flags.DEFINE_bool(
    "pieces",
    True,
    "Also write the chains as readable events: stretches of the log itself.",
)
_ROUND_TRIP = flags.DEFINE_bool(
    "round_trip", True, "Decode every event of the last tokenizer and compare."
)


def main(argv: list[str]) -> None:
  """Trains, measures, writes."""
  del argv
  # Late imports: --help and usage errors come at once.
  from behavior_lm.artifacts.commands import this_command
  from behavior_lm.data.tokenizers.training import train_tokenizer
  from behavior_lm.logs.dataset import open_dataset
  from experiments.studies.tokenizers import tokenizer_study

  if not _DATA.value:
    raise UserError("--data is missing; see --help.")
  dataset = open_dataset(_DATA.value)
  split = _SPLIT.value or ("test" if "test" in dataset.splits else "train")
  settings = _TOKENIZER.value or list(tokenizer_study.STUDY)
  say = lambda text: print(text, flush=True)
  rows = tokenizer_study.study(dataset, settings, split, say)
  result = {
      "data": Path(_DATA.value).resolve().name,
      "data_fingerprint": dataset.meta["fingerprint"],
      "split": split,
      "num_sequences": dataset.meta["splits"][split]["num_sequences"],
      "seed": 0,
      "rows": rows,
      "command": this_command(),
  }
  _write(result)
  if _ROUND_TRIP.value:
    last = tokenizer_study.read_settings(settings[-1])
    tokenizer = train_tokenizer(dataset, **last)
    events = tokenizer_study.check_round_trip(tokenizer, dataset)
    result["round_trips"] = {settings[-1]: events}
    say(f"round trip: {events:,} events came back exactly")
    _write(result)


def _write(result: dict[str, Any]) -> None:
  from experiments.studies.tokenizers import figure as report

  rows, out = result["rows"], Path(_OUT.value)
  table = [{k: v for k, v in row.items() if k != "pieces"} for row in rows]
  write_result(out, result | {"rows": table}, report.to_markdown(result))
  if _PIECES.value:
    pieces = beside(out, "_pieces.md")
    write_whole(pieces, report.pieces_markdown(rows))
    print(f"chains: {pieces}")
  report.draw(rows, beside(out, ".png"))
  print(f"figure: {beside(out, '.png')}")


if __name__ == "__main__":
  run_command(main)

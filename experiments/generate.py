r"""Writes synthetic player logs, with labels and the truth if you want them.

  python experiments/generate.py --out logs.csv --labels labels.csv

The logs look like a real game server's (experiments/studies/synthetic/run.py),
the answers are known. --out ends in .csv, .tsv, .jsonl or .parquet. Same flags,
same rows. As many as you like, in memory that does not grow:

  python experiments/generate.py --out logs.parquet --num_events=100000000 \
      --mean_events_per_day=2935

With --requests DIR it writes tables of shown items instead, for
configs/ranking.py.
"""

import contextlib
from pathlib import Path
import time

from absl import flags

from behavior_lm.common.errors import run_command
from behavior_lm.common.errors import UserError
from behavior_lm.common.lock import held_beside
from behavior_lm.synthetic import files as synthetic_files
from behavior_lm.synthetic import generate as synthetic
from behavior_lm.synthetic import requests
from behavior_lm.synthetic.dirt import Dirt

_DEFAULT = synthetic.SyntheticConfig()

_OUT = flags.DEFINE_string(
    "out", None, "Log to write: .csv, .tsv, .jsonl or .parquet."
)
_REQUESTS = flags.DEFINE_string(
    "requests",
    None,
    "Write train, valid and test.parquet of shown items here, and no log;"
    " --num_users and --seed count.",
)
_LABELS = flags.DEFINE_string(
    "labels", None, "Also write user_id, bot, churn here: .csv or .parquet."
)
_TRUTH = flags.DEFINE_string(
    "truth",
    None,
    "Also write here (.json) who is what, which choice decides which later"
    " event, and the best AUC and accuracy that the labels allow.",
)
_NUM_USERS = flags.DEFINE_integer("num_users", 300, "Players.")
_NUM_EVENTS = flags.DEFINE_integer(
    "num_events",
    0,
    "About so many events: as many players as that takes, instead of"
    " --num_users.",
    lower_bound=0,
)
_NUM_DAYS = flags.DEFINE_integer("num_days", 10, "Days of logs.")
_MEAN_EVENTS = flags.DEFINE_float(
    "mean_events_per_day",
    140.0,
    "Of a player on a day that is played; the real server that the rest is"
    " modelled on has 2935.",
)
_START = flags.DEFINE_string("start", _DEFAULT.start, "First day, YYYY-MM-DD.")
_SEED = flags.DEFINE_integer("seed", 0, "Other seeds are other players.")
_WORLD_SEED = flags.DEFINE_integer(
    "world_seed", 0, "Another one is another game: maps, scripts, ids."
)
_PRESENCE = flags.DEFINE_float(
    "presence", _DEFAULT.presence, "Probability to play on a day."
)
_BOT_FRACTION = flags.DEFINE_float(
    "bot_fraction", _DEFAULT.bot_fraction, "Share of bots."
)
_CHURN_FRACTION = flags.DEFINE_float(
    "churn_fraction", _DEFAULT.churn_fraction, "Share of players who leave."
)
_LABEL_NOISE = flags.DEFINE_float(
    "label_noise", _DEFAULT.label_noise, "Share of labels that are wrong."
)
_ORDER_NOISE = flags.DEFINE_float(
    "order_noise", _DEFAULT.order_noise, "Share of plain events replaced."
)
_BAD_ROWS = flags.DEFINE_integer(
    "bad_rows", 0, "Broken rows to put among the good ones."
)
_MISSING_DESIGNS = flags.DEFINE_float(
    "missing_designs", 0.0, "Share of rows that lose their design id."
)
_DUPLICATE_ROWS = flags.DEFINE_float(
    "duplicate_rows", 0.0, "Share of rows that are there twice."
)
_SHUFFLED_TIES = flags.DEFINE_float(
    "shuffled_ties",
    0.0,
    "Share of the seconds in which a player's events are in any order.",
)
_CLOCK_JITTER = flags.DEFINE_float(
    "clock_jitter", 0.0, "Seconds by which a row's time may be off."
)
_USERS_PER_BATCH = flags.DEFINE_integer(
    "users_per_batch",
    0,
    "So many players at a time: less memory, and rows in order of time within"
    " a batch only. 0: all at once, all in order, up to"
    f" {synthetic_files.LARGE_LOG:,} events; beyond that, as many as make"
    f" about {synthetic_files.EVENTS_PER_BATCH:,} events.",
)
_OVERWRITE = flags.DEFINE_bool("overwrite", True, "Replace existing files.")


def main(argv: list[str]) -> None:
  """Writes what the flags say."""
  del argv
  written = {
      "requests": _REQUESTS.value,
      "out": _OUT.value,
      "labels": _LABELS.value,
      "truth": _TRUTH.value,
  }
  with contextlib.ExitStack() as alone:
    # By path: one that is named twice is refused where it is written.
    places = {path: flag for flag, path in written.items() if path}
    for path, flag in places.items():
      alone.enter_context(held_beside(Path(path), f"--{flag} {path}"))
    _generate()


def _generate() -> None:
  if _REQUESTS.value:
    rows = requests.write_requests(
        Path(_REQUESTS.value),
        requests.RequestConfig(num_users=_NUM_USERS.value, seed=_SEED.value),
    )
    sizes = ", ".join(f"{number:,} {name}" for name, number in rows.items())
    print(f"rows: {sizes}: {_REQUESTS.value}")
    return
  if not _OUT.value:
    raise UserError("--out is missing; give a file, as in --out logs.csv.")
  started = time.perf_counter()
  config = synthetic.SyntheticConfig(
      seed=_SEED.value,
      world_seed=_WORLD_SEED.value,
      num_users=_NUM_USERS.value,
      num_days=_NUM_DAYS.value,
      start=_START.value,
      mean_events_per_day=_MEAN_EVENTS.value,
      presence=_PRESENCE.value,
      bot_fraction=_BOT_FRACTION.value,
      churn_fraction=_CHURN_FRACTION.value,
      label_noise=_LABEL_NOISE.value,
      order_noise=_ORDER_NOISE.value,
  )
  if _NUM_EVENTS.value:
    config = synthetic.with_events(config, _NUM_EVENTS.value)
  written = synthetic_files.write_logs(
      config,
      Path(_OUT.value),
      labels=_path(_LABELS.value),
      truth=_path(_TRUTH.value),
      bad_rows=_BAD_ROWS.value,
      dirt=Dirt(
          missing_designs=_MISSING_DESIGNS.value,
          duplicate_rows=_DUPLICATE_ROWS.value,
          shuffled_ties=_SHUFFLED_TIES.value,
          clock_jitter=_CLOCK_JITTER.value,
      ),
      users_per_batch=(
          _USERS_PER_BATCH.value or synthetic_files.batch_size(config)
      ),
      overwrite=_OVERWRITE.value,
  )
  seconds = time.perf_counter() - started
  bad = f" and {written.bad_rows:,} broken ones" if written.bad_rows else ""
  print(
      f"{written.rows:,} rows{bad}, {written.users:,} users,"
      f" {seconds:.1f} s: {_OUT.value}"
  )
  if _LABELS.value:
    ceilings = ", ".join(
        f"{label} {values['auc']:.3f}"
        for label, values in written.oracle.items()
        if values.get("auc") is not None
    )
    best = f" (best possible AUC: {ceilings})" if ceilings else ""
    print(f"labels: {_LABELS.value}{best}")
    next_map = written.oracle[synthetic.NEXT_MAP]
    if next_map["moves"]:
      print(
          f"next map: {next_map['moves']:,} moves, best possible accuracy"
          f" {next_map['top1']:.3f}, by the last two maps alone"
          f" {next_map['markov2_top1']:.3f}"
      )
  if _TRUTH.value:
    print(f"truth: {_TRUTH.value}")


def _path(text: str | None) -> Path | None:
  return Path(text) if text else None


if __name__ == "__main__":
  run_command(main)

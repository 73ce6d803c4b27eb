r"""Writes synthetic player logs, with labels and the truth if you want them.

  python experiments/generate.py --out logs.csv --labels labels.csv

The logs look like a real game server's (experiments/compare_synthetic.py), the
answers are known. --out ends in .csv, .tsv, .jsonl or .parquet. Same flags,
same rows.
"""

from pathlib import Path
import time

from absl import flags

from behavior_lm.data import synthetic
from behavior_lm.data import synthetic_files
from behavior_lm.errors import run_command
from behavior_lm.errors import UserError

_DEFAULT = synthetic.SyntheticConfig()

_OUT = flags.DEFINE_string(
    "out", None, "Log to write: .csv, .tsv, .jsonl or .parquet."
)
_LABELS = flags.DEFINE_string(
    "labels", None, "Also write user_id, bot, churn here: .csv or .parquet."
)
_TRUTH = flags.DEFINE_string(
    "truth",
    None,
    "Also write here (.json) who is what, which choice decides which later"
    " event, and the best AUC that the labels allow.",
)
_NUM_USERS = flags.DEFINE_integer("num_users", 300, "Players.")
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
_USERS_PER_BATCH = flags.DEFINE_integer(
    "users_per_batch",
    0,
    "For logs larger than memory: so many players at a time. Rows are then in"
    " order of time within a batch only. 0: all at once, all in order.",
)
_OVERWRITE = flags.DEFINE_bool("overwrite", True, "Replace existing files.")


def main(argv: list[str]) -> None:
  """Writes what the flags say."""
  del argv
  if not _OUT.value:
    raise UserError("--out is missing; give a file, as in --out logs.csv.")
  started = time.perf_counter()
  written = synthetic_files.write_logs(
      synthetic.SyntheticConfig(
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
      ),
      Path(_OUT.value),
      labels=_path(_LABELS.value),
      truth=_path(_TRUTH.value),
      bad_rows=_BAD_ROWS.value,
      users_per_batch=_USERS_PER_BATCH.value,
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
        if values["auc"] is not None
    )
    best = f" (best possible AUC: {ceilings})" if ceilings else ""
    print(f"labels: {_LABELS.value}{best}")
  if _TRUTH.value:
    print(f"truth: {_TRUTH.value}")


def _path(text: str | None) -> Path | None:
  return Path(text) if text else None


if __name__ == "__main__":
  run_command(main)

r"""Compares synthetic logs with a real game server's, statistic by statistic.

  python experiments/studies/synthetic/run.py \
      --data ../shared/data/justice/map_204.parquet

Writes experiments/results/synthetic_vs_map204.{json,md}: figures only, no row
or id of the real log.
"""

from pathlib import Path
import time

from absl import flags
import polars as pl

from behavior_lm.artifacts.commands import this_command
from behavior_lm.common.errors import run_command
from behavior_lm.common.errors import UserError
from behavior_lm.common.markdown import table
from behavior_lm.logs import schema
from behavior_lm.synthetic import generate as synthetic
from experiments.studies.results import checked_out
from experiments.studies.results import write_result
from experiments.studies.synthetic import log_statistics

_DATA = flags.DEFINE_string(
    "data",
    "../shared/data/justice/map_204.parquet",
    "Real log: Parquet with user_id, event_id, design_id, timestamp (UTC).",
)
_OUT = flags.DEFINE_string(
    "out",
    "experiments/results/synthetic_vs_map204",
    "Result files without their endings .json and .md.",
)
_SEED = flags.DEFINE_integer("seed", 0, "Of the synthetic players.")
_WORLD_SEED = flags.DEFINE_integer("world_seed", 0, "Of the synthetic world.")
_NUM_USERS = flags.DEFINE_integer("num_users", 100, "Synthetic players.")
_NUM_DAYS = flags.DEFINE_integer("num_days", 15, "Synthetic days.")


def main(argv: list[str]) -> None:
  """Generates, measures both logs, writes the table."""
  del argv
  path, out = Path(_DATA.value), checked_out(_OUT.value)
  if not path.is_file():
    raise UserError(f"--data {path} is not a file; give a Parquet log.")
  config = synthetic.like_server_204(
      seed=_SEED.value,
      world_seed=_WORLD_SEED.value,
      num_users=_NUM_USERS.value,
      num_days=_NUM_DAYS.value,
  )
  started = time.perf_counter()
  events = synthetic.generate(config).events
  seconds = time.perf_counter() - started
  print(f"{events.height:,} synthetic events in {seconds:.1f} s", flush=True)
  made = log_statistics.log_statistics(events)
  real = log_statistics.log_statistics(_read(path))
  rows = log_statistics.compare(real, made)
  result = {
      "data": path.name,
      "command": this_command(),
      "seed": config.seed,
      "world_seed": config.world_seed,
      "num_users": config.num_users,
      "num_days": config.num_days,
      "synthetic_events": events.height,
      "rows": rows,
  }
  page = _markdown(result)
  print(page)
  print(_summary(result))
  write_result(out, result, page)


def _read(path: Path) -> pl.DataFrame:
  try:
    events = pl.read_parquet(path, columns=list(schema.EVENT_COLUMNS))
  except (pl.exceptions.PolarsError, OSError) as error:
    raise UserError(f"{path}: not a Parquet log ({error}).") from error
  time_zone = getattr(events.schema[schema.TIMESTAMP], "time_zone", None)
  stamp = pl.col(schema.TIMESTAMP).cast(pl.Datetime("us", time_zone))
  if time_zone is None:
    stamp = stamp.dt.replace_time_zone("UTC")
  return events.with_columns(stamp)


def _markdown(result: dict) -> str:
  lines = [
      "# Synthetic logs beside a real game server's",
      "",
      f"Data: {result['data']} (figures only). Synthetic: seed"
      f" {result['seed']}, world seed {result['world_seed']},"
      f" {result['synthetic_events']:,} events. N-grams: interpolated"
      " Witten-Bell, contexts restart each user-day, the last"
      f" {log_statistics.TEST_DAYS} days test. BPE: SentencePiece, an event a"
      " character, learnt on the days before; no piece crosses a gap of more"
      f" than 5 minutes. {_summary(result)}",
      "",
      "    " + result["command"],
      "",
      table(
          [
              "statistic",
              Path(result["data"]).stem,
              "synthetic",
              "ratio",
              f"within {log_statistics.NEAR:.0%}",
          ],
          [
              [
                  row["statistic"],
                  _number(row["real"]),
                  _number(row["other"]),
                  "" if row["ratio"] is None else f"{row['ratio']:.2f}",
                  "yes" if row["near"] else "no",
              ]
              for row in result["rows"]
          ],
      ),
  ]
  return "\n".join(lines) + "\n"


def _summary(result: dict) -> str:
  near = sum(row["near"] for row in result["rows"])
  return (
      f"{near} of {len(result['rows'])} statistics are within"
      f" {log_statistics.NEAR:.0%} of the real log's."
  )


def _number(value: float) -> str:
  return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"


if __name__ == "__main__":
  run_command(main)

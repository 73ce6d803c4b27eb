r"""Scores a table of users and candidates by a ranker.

  python experiments/rank.py --run RUN --requests new.parquet \
      --out scores.parquet

RUN is a folder of experiments/train.py with configs/ranking.py; the table has
the columns of its config, those of the labels may be absent. --out gets the
table with the probability of each head, their sum, and the rank inside each
request (the rows of one user and time).
"""

from pathlib import Path

from absl import flags

from behavior_lm.common.errors import run_command
from behavior_lm.common.errors import UserError
from behavior_lm.common.host_memory import keep_freed_memory
from behavior_lm.common.lock import held_beside

_RUN = flags.DEFINE_string("run", None, "The run folder.")
_REQUESTS = flags.DEFINE_string("requests", None, "The table of candidates.")
_OUT = flags.DEFINE_string("out", None, "The Parquet file to write.")
_BEST = flags.DEFINE_bool(
    "best", True, "The best checkpoint of the run, if it has one."
)


def main(argv: list[str]) -> None:
  """Scores the table."""
  del argv
  if not (_RUN.value and _REQUESTS.value and _OUT.value):
    raise UserError("--run, --requests and --out are needed; see --help.")
  # Late imports: --help and usage errors come at once.
  from behavior_lm.inference.rank_table import rank_table

  with held_beside(Path(_OUT.value), f"--out {_OUT.value}"):
    done = rank_table(
        _RUN.value, _REQUESTS.value, _OUT.value, best=_BEST.value
    )
  print(
      f"{done['rows']:,} candidates of {done['requests']:,} requests scored,"
      f" {done['set_aside']:,} rows set aside: {_OUT.value}"
  )


if __name__ == "__main__":
  keep_freed_memory()
  run_command(main)

r"""Prints which events, or which users, a model takes for alike.

  python experiments/neighbours.py --run RUN --events login#0,fight#3
  python experiments/neighbours.py --vectors vectors.parquet --users 17,4

Events are compared by their vectors in the model's table, users by the vectors
of experiments/embed.py.
"""

from absl import flags

from behavior_lm.common.errors import run_command
from behavior_lm.common.errors import UserError

_RUN = flags.DEFINE_string("run", None, "A pretrained run.")
_EVENTS = flags.DEFINE_list(
    "events", [], "EVENT#DESIGN, by comma; EVENT#* is any other design."
)
_VECTORS = flags.DEFINE_string("vectors", None, "A file of embed.py.")
_USERS = flags.DEFINE_list("users", [], "User ids, by comma.")
_NUMBER = flags.DEFINE_integer("number", 10, "How many are printed of each.")


def main(argv: list[str]) -> None:
  """Prints the lists."""
  del argv
  asked = (_RUN.value and _EVENTS.value) or (_VECTORS.value and _USERS.value)
  if not asked:
    raise UserError(
        "give --run and --events, or --vectors and --users; see --help."
    )
  # Late imports: --help and usage errors come at once.
  import polars as pl

  from behavior_lm.inference.embedder import Embedder
  from behavior_lm.inference.explain.neighbours import nearest_events
  from behavior_lm.inference.explain.neighbours import nearest_users

  found = {}
  if _RUN.value:
    embedder = Embedder.load(_RUN.value)
    for event in _EVENTS.value:
      found[event] = nearest_events(embedder, event, _NUMBER.value)
  if _VECTORS.value:
    for user in _USERS.value:
      found[user] = nearest_users(_VECTORS.value, user, _NUMBER.value)
  with pl.Config(
      tbl_rows=-1,
      tbl_hide_dataframe_shape=True,
      tbl_hide_column_data_types=True,
  ):
    for name, table in found.items():
      print(f"nearest to {name}:\n{table}")


if __name__ == "__main__":
  run_command(main)

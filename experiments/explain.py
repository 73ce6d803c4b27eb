r"""Shows which events carry the predictions of a fine-tuned model.

  python experiments/explain.py --run runs/bot --data DATA --users 17,4 \
      --out why

For each user OUT gets a figure of the last events, as many as the model reads,
with what each adds to the output (integrated gradients), and events.parquet
has all numbers. With --causal_run both tell how unexpected each event was.
"""

from pathlib import Path

from absl import flags

from behavior_lm.common.errors import run_command
from behavior_lm.common.errors import UserError
from behavior_lm.common.host_memory import keep_freed_memory
from behavior_lm.common.lock import held

_RUN = flags.DEFINE_string("run", None, "A run of configs/finetune.py.")
_DATA = flags.DEFINE_string("data", None, "A prepared dataset.")
_USERS = flags.DEFINE_list("users", [], "User ids of the dataset, by comma.")
_OUT = flags.DEFINE_string("out", None, "The folder to write into.")
_LABEL = flags.DEFINE_string("label", "", "The label; empty is the first.")
_OUTPUT = flags.DEFINE_integer(
    "output", 0, "Of its outputs, for a label of several classes."
)
_CAUSAL_RUN = flags.DEFINE_string(
    "causal_run", "", "A run of objective=next_events: adds surprise in bits."
)
_STEPS = flags.DEFINE_integer("steps", 32, "Steps of the integral.")


def main(argv: list[str]) -> None:
  """Writes the table and the figures."""
  del argv
  if not (_RUN.value and _DATA.value and _USERS.value and _OUT.value):
    raise UserError("--run, --data, --users and --out are needed; see --help.")
  if _STEPS.value < 1:
    raise UserError(f"--steps {_STEPS.value} must be 1 or more.")
  # Late imports: --help and usage errors come at once.
  from behavior_lm.common.files import whole_file
  from behavior_lm.common.files import write_whole
  from behavior_lm.downstream.explain import explain_users
  from behavior_lm.reporting.attribution_figure import draw_attribution
  from behavior_lm.reporting.plots import file_name

  out = Path(_OUT.value)
  with held(out, f"--out {out}"):
    found = explain_users(
        _RUN.value,
        _DATA.value,
        _USERS.value,
        label=_LABEL.value,
        output=_OUTPUT.value,
        steps=_STEPS.value,
        causal_run=_CAUSAL_RUN.value,
    )
    with whole_file(out / "events.parquet") as temporary:
      found.write_parquet(temporary)
    print(f"{len(found):,} events: {out / 'events.parquet'}")
    of_users = found.partition_by("user_id", maintain_order=True)
    for number, events in enumerate(of_users):
      user = events["user_id"].item(0)
      path = out / f"{number}_{file_name(user)}.png"
      write_whole(path, draw_attribution(events).png)
      print(f"user {user}: {path}")


if __name__ == "__main__":
  keep_freed_memory()
  run_command(main)

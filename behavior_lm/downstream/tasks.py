"""What a downstream task is: a label, its kind, and what its rows may see."""

from collections.abc import Mapping
import dataclasses

from behavior_lm.common.errors import UserError
from behavior_lm.data.samples.sample_columns import BINARY
from behavior_lm.data.samples.sample_columns import KINDS
from behavior_lm.data.samples.sample_columns import MULTI_CLASS

BOT, CHURN, NEXT_MAP, TABLE = "bot", "churn", "next_map", "table"
# Up to when a row without a time of its own sees its user.
OWN_END, LOG_END = "own_end", "log_end"
TRANSFER, TRANSFER_SOURCE = "400027", "400028"


@dataclasses.dataclass(frozen=True)
class Task:
  """A task; `dataclasses.replace` makes another one of it.

  Attributes:
    name: of the task.
    label: the column of the label table; "" takes the only one that holds
      nothing but 0 and 1.
    kind: one of `sample_columns.KINDS`.
    time: the column with the times of rows; "" where a row sees the whole
      history of its user.
    days_back_from: without `time`, days are counted back from the user's own
      last event (OWN_END) or from the end of the log (LOG_END). The end of
      the log dates a user: take it only where all users are observed over
      the same period, as for churn.
    events: event ids whose next design id is the label, instead of a table.
    sources: event ids that announce the answer; they leave the histories.
  """

  name: str
  label: str
  kind: str
  time: str = ""
  days_back_from: str = OWN_END
  events: tuple[str, ...] = ()
  sources: tuple[str, ...] = ()

  def __post_init__(self) -> None:
    if self.kind not in KINDS:
      raise UserError(
          f"--kind {self.kind!r}; choose one of {', '.join(KINDS)}."
      )
    if self.days_back_from not in (OWN_END, LOG_END):
      raise UserError(
          f"--days_back_from {self.days_back_from!r}; choose {OWN_END} or"
          f" {LOG_END}."
      )


TASKS: Mapping[str, Task] = {
    BOT: Task(BOT, "bot", BINARY),
    CHURN: Task(CHURN, "churned", BINARY, days_back_from=LOG_END),
    NEXT_MAP: Task(
        NEXT_MAP,
        "map",
        MULTI_CLASS,
        events=(TRANSFER,),
        sources=(TRANSFER_SOURCE,),
    ),
    TABLE: Task(TABLE, "", BINARY),
}


def find_task(name: str) -> Task:
  """The task of a name; UserError if there is none."""
  if name not in TASKS:
    raise UserError(f"--task {name!r}; choose one of {', '.join(TASKS)}.")
  return TASKS[name]

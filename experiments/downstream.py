r"""How well do baselines, and a run's vectors, solve a downstream task?

  python experiments/downstream.py --task bot --logs LOG --labels labels.csv \
      --out DIR [--run RUN]

Tasks: bot, churn (a label per user), next_map (ranking, from the log alone),
table (any label table). LOG is a log or a folder of experiments/prepare.py.
Writes DIR/results.json and results.md. Every finished row is kept in DIR: the
same command goes on where it was, and with --run it adds the rows of the run.
See docs/downstream.md.
"""

import dataclasses
from pathlib import Path
from typing import Any

from absl import flags

from behavior_lm.common.errors import run_command
from behavior_lm.common.errors import UserError
from behavior_lm.common.host_memory import keep_freed_memory
from behavior_lm.common.lock import held
from behavior_lm.common.signals import exit_when_stopped

_TASK = flags.DEFINE_string("task", None, "bot, churn, next_map or table.")
_LOGS = flags.DEFINE_string("logs", "", "A log, or a prepared dataset folder.")
_LABELS = flags.DEFINE_string(
    "labels", "", "CSV or Parquet: user_id, the label, perhaps a time."
)
_TRAIN_LOGS = flags.DEFINE_string(
    "train_logs", "", "Instead of --logs, with --test_logs: the training log."
)
_TRAIN_LABELS = flags.DEFINE_string("train_labels", "", "... and its labels.")
_TEST_LOGS = flags.DEFINE_string(
    "test_logs", "", "The tested log; its users are others."
)
_TEST_LABELS = flags.DEFINE_string("test_labels", "", "... and its labels.")
_OUT = flags.DEFINE_string("out", None, "The folder to write.")
_RUN = flags.DEFINE_string("run", "", "A run folder of experiments/train.py.")
_LABEL = flags.DEFINE_string(
    "label", "", "The label column; the task's own if not given."
)
_KIND = flags.DEFINE_string(
    "kind", "", "Task table: binary, multi_class, multi_label or regression."
)
_TIME = flags.DEFINE_string(
    "time",
    "",
    "The column with the time of each row: its history ends strictly before"
    " it. Without it a row sees the whole history of its user.",
)
_DAYS_BACK_FROM = flags.DEFINE_string(
    "days_back_from",
    "",
    "Rows without a time count days back from own_end, the user's last event,"
    " or log_end, that of the log; the task's own if not given.",
)
_EVENTS = flags.DEFINE_list(
    "events", [], "Task next_map: event ids whose design id is predicted."
)
_SOURCES = flags.DEFINE_list(
    "sources", [], "Task next_map: event ids that announce the answer."
)
_SPLIT = flags.DEFINE_string(
    "split", "", "user, time or user_time; next_map is split by time."
)
_SPLIT_TIME = flags.DEFINE_string(
    "split_time",
    "",
    "From here on rows are tested; the last quarter of them if not given.",
)
_FOLDS = flags.DEFINE_integer("folds", 5, "Parts of the users.")
_SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "One repetition each.")
_EXTRAS = flags.DEFINE_list(
    "extras", [], "Numeric columns of the log to declare as features."
)
_HOURS = flags.DEFINE_bool(
    "hours", False, "Declare the hours of the day as features."
)
_TRAIN_SIZES = flags.DEFINE_list(
    "train_sizes", [], "Also fit on so many rows: 64,128,256."
)
_ROWS = flags.DEFINE_multi_string(
    "rows", [], "Only rows whose names hold this text; may be repeated."
)
_POOLING = flags.DEFINE_string(
    "pooling", "mean", "Of a run's vectors: mean, max, cls or last."
)
_MAX_TOKENS = flags.DEFINE_integer(
    "max_tokens",
    None,
    "A run reads only so many tokens at the end of each history.",
)
_TIMEZONE = flags.DEFINE_string(
    "timezone", "UTC", "Zone of times without an offset."
)


def main(argv: list[str]) -> None:
  """Makes the table of one task."""
  del argv
  for flag in (_TASK, _OUT):
    if not flag.value:
      raise UserError(f"--{flag.name} is missing; see --help.")
  out = Path(str(_OUT.value))
  if out.is_file():
    raise UserError(f"--out {out}: is a file; give a folder.")
  stopped = exit_when_stopped("the same command continues after the last row")
  with stopped, held(out, f"--out {out}"):
    _make(out)


def _make(out: Path) -> None:
  # Late imports: --help and usage errors come at once.
  from behavior_lm.artifacts import downstream as record
  from behavior_lm.common.progress import CommandProgress
  from behavior_lm.downstream import run as runs
  from behavior_lm.downstream import task_data
  from behavior_lm.downstream.prepare import open_log

  task = _task()
  given = _given(task)
  settings = _settings(task)
  progress = CommandProgress()
  try:
    datasets = [
        open_log(
            logs, out, progress,
            extras=settings.extras,
            timezone=_TIMEZONE.value,
        )
        for logs, _ in given
    ]
    if task.events:
      result = runs.run_next_items(
          datasets[0], task, settings, out, progress
      )
    else:
      parts = [
          task_data.read_part(dataset, labels, task)
          for dataset, (_, labels) in zip(datasets, given, strict=True)
      ]
      data = task_data.gather(parts, task, progress, settings.extras)
      if settings.split != "user" and settings.split_time is None:
        time = runs.default_split_time(parts[0].table)
        settings = dataclasses.replace(settings, split_time=time)
      features = None
      if _RUN.value:
        from behavior_lm.downstream import run_features

        features = run_features.features(
            data, _RUN.value, out, progress,
            pooling=_POOLING.value,
            max_tokens=_MAX_TOKENS.value,
        )
      result = runs.run_table(
          data, settings, out, progress,
          run_features=features,
          run=Path(_RUN.value).name if _RUN.value else "",
      )
  finally:
    progress.close()
  paths = record.write_downstream(out, result)
  print(record.to_markdown(result))
  print("table: " + ", ".join(str(path) for path in paths))


def _task() -> Any:
  from behavior_lm.downstream.tasks import find_task

  task = find_task(str(_TASK.value))
  changes: dict[str, Any] = {
      "label": _LABEL.value,
      "kind": _KIND.value,
      "time": _TIME.value,
      "days_back_from": _DAYS_BACK_FROM.value,
      "events": tuple(_EVENTS.value),
      "sources": tuple(_SOURCES.value),
  }
  return dataclasses.replace(
      task, **{name: value for name, value in changes.items() if value}
  )


def _given(task: Any) -> list[tuple[str, str]]:
  """(log, labels) of one part, or of train and test."""
  apart = (
      _TRAIN_LOGS.value, _TRAIN_LABELS.value,
      _TEST_LOGS.value, _TEST_LABELS.value,
  )  # fmt: skip
  if task.events:
    if not _LOGS.value or any(apart) or _LABELS.value:
      raise UserError(
          "a next-item task takes --logs alone: its labels are in the log, and"
          " --split_time says what is tested."
      )
    if _RUN.value:
      raise UserError(
          "--run: a next-item task has no rows of a run yet; leave it out."
      )
    return [(_LOGS.value, "")]
  if any(apart):
    if not all(apart) or _LOGS.value or _LABELS.value:
      raise UserError(
          "give --train_logs, --train_labels, --test_logs and --test_labels,"
          " all four and without --logs and --labels."
      )
    return [(apart[0], apart[1]), (apart[2], apart[3])]
  if not _LOGS.value or not _LABELS.value:
    raise UserError("--logs and --labels are both needed; see --help.")
  return [(_LOGS.value, _LABELS.value)]


def _settings(task: Any) -> Any:
  from behavior_lm.downstream.run import Settings
  from behavior_lm.logs.readers import timestamps

  numbers = {}
  for flag in (_SEEDS, _TRAIN_SIZES):
    try:
      numbers[flag.name] = tuple(int(text) for text in flag.value)
    except ValueError:
      raise UserError(
          f"--{flag.name} {','.join(flag.value)}: not whole numbers."
      ) from None
  split_time = None
  if _SPLIT_TIME.value:
    zone = timestamps.TimeReader(_TIMEZONE.value, "auto").zone
    split_time = timestamps.parse_moment(
        _SPLIT_TIME.value, zone, "--split_time"
    )
  return Settings(
      split=_SPLIT.value or ("time" if task.events else "user"),
      folds=_FOLDS.value,
      seeds=numbers["seeds"],
      split_time=split_time,
      extras=tuple(_EXTRAS.value),
      hours=_HOURS.value,
      train_sizes=numbers["train_sizes"],
      rows=tuple(_ROWS.value),
  )


if __name__ == "__main__":
  keep_freed_memory()
  run_command(main)

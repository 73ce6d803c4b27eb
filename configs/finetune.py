r"""Fine-tune a pretrained encoder on labels of users.

  python experiments/train.py --workdir runs/bot \
      --config configs/finetune.py:task=bot,run=runs/gate,labels=bot.csv

`task` is the label column: bot and churn are known to be binary, for another
one give `kind` (binary, multi_class, multi_label, regression); several with a
plus between: task=age+spend,kind=multi_class+regression. The dataset, the
tokenizer and the settings of the encoder are those of the run; `mode` says what
is trained: probe, head, top, full, lora or prefix. Folds and seeds:
experiments/finetune.py. See docs/finetuning.md.
"""

import ml_collections

from configs.common import adapt_config
from configs.common import is_true
from configs.common import loop_config
from configs.common import parse_arg

# Label columns of tasks whose kind is known.
TASKS = {"bot": ("bot", "binary"), "churn": ("churned", "binary")}
# Peaks of the learning rate: what is new learns faster than what is trained.
RATES = {
    "probe": 1e-2,
    "head": 3e-3,
    "top": 5e-4,
    "full": 5e-4,
    "lora": 2e-3,
    "prefix": 5e-3,
}


def _labels(task: str, kind: str) -> dict[str, str]:
  """{label column: kind}."""
  if task in TASKS and not kind:
    return dict([TASKS[task]])
  columns, kinds = task.split("+"), kind.split("+")
  if not kind or len(columns) != len(kinds):
    raise ValueError(
        f"task {task!r} with kind {kind!r}: say of each column what its labels"
        " are, kind=binary, multi_class, multi_label or regression"
    )
  return dict(zip(columns, kinds, strict=True))


def _figure(labels: dict[str, str]) -> str:
  """What the best checkpoint is chosen by: a figure of the first label."""
  column, kind = next(iter(labels.items()))
  regression = kind == "regression"
  figure = "root_mean_squared_error" if regression else "log_loss"
  return f"{column}/{figure}" if len(labels) > 1 else figure


def get_config(arg: str = "") -> ml_collections.ConfigDict:
  """A config for `experiments/train.py` and `experiments/finetune.py`.

  Args:
    arg: sets task, kind, run, labels, mode and runlocal, see the head of this
      file.
  """
  chosen = parse_arg(
      arg,
      task="bot",
      kind="",
      run="",
      labels="",
      mode="full",
      runlocal="0",
  )
  mode, runlocal = chosen["mode"], is_true(chosen["runlocal"])
  if mode not in RATES:
    raise ValueError(f"mode {mode!r}; known are {sorted(RATES)}")
  labels = _labels(chosen["task"], chosen["kind"])
  # The recipe sets the steps by the epochs.
  c = loop_config(
      "finetune", total_steps=1, learning_rate=RATES[mode], runlocal=runlocal
  )
  c.epochs = 2 if runlocal else 20
  c.evals_per_epoch = 1
  c.optim.warmup_share = 0.1
  c.log_every = 5 if runlocal else 20

  c.encoder = ml_collections.ConfigDict()
  c.encoder.run = chosen["run"]
  # Settings and tokenizer of the run, but none of its parameters.
  c.encoder.from_scratch = False
  # Of the encoder while it is fine-tuned; below 0 is that of the run.
  c.encoder.dropout_rate = 0.1

  c.task = ml_collections.ConfigDict()
  # CSV, TSV or Parquet, see behavior_lm/data/samples.
  c.task.labels_path = chosen["labels"]
  c.task.labels = ml_collections.ConfigDict(labels)
  c.task.user = "user_id"
  # Columns of the row's time (its history ends strictly before) and of its
  # weight; empty where there is none.
  c.task.time = ""
  c.task.weight = ""
  c.task.timezone = ""
  c.task.separator = "|"
  # Event ids, by comma, that are removed from histories.
  c.task.excluded = ""
  c.task.max_bad_fraction = 0.01

  c.split = ml_collections.ConfigDict()
  # user (by shares), folds (test is fold `fold` of `num_folds`) or time (valid
  # from valid_time, test from split_time on).
  c.split.kind = "user"
  c.split.valid_share = 0.15
  c.split.test_share = 0.2
  c.split.num_folds = 5
  c.split.fold = 0
  c.split.seed = 0
  c.split.valid_time = ""
  c.split.split_time = ""
  c.split.timezone = "UTC"
  # So many training rows alone; 0 is all.
  c.split.train_size = 0

  c.data = ml_collections.ConfigDict()
  # Empty is the dataset of the run, and 0 its length.
  c.data.path = ""
  c.data.max_length = 0
  c.data.batch_size = 8
  c.data.max_segments = 8
  c.data.pack = True
  c.data.prefetch = 4

  c.adapt = adapt_config(mode, lora_targets="qkv|out|mlp", prefix_length=16)

  c.head = ml_collections.ConfigDict()
  # A key of behavior_lm.layers.pooling.POOLINGS, and its options.
  c.head.pooling = "mean"
  c.head.pooling_options = ml_collections.ConfigDict()
  # Layer whose states are pooled; below 0 is the last one.
  c.head.layer = -1
  c.head.hidden_dim = 0
  c.head.dropout_rate = 0.0 if mode == "probe" else 0.1

  c.objective = ml_collections.ConfigDict()
  # none, or balanced: classes weigh the inverse of their frequency.
  c.objective.class_weights = "none"
  # Factors of the losses of several labels, by name.
  c.objective.weights = ml_collections.ConfigDict()

  for split in ("valid", "test"):
    c.evals[split] = ml_collections.ConfigDict()
    c.evals[split].evaluator = "labels"
    c.evals[split].split = split
    c.evals[split].every = 0
    # The threshold of F1 is never chosen on test.
    c.evals[split].threshold_split = "valid"
  c.keep_best.metric = f"valid/{_figure(labels)}"
  c.keep_best.patience = 5
  return c

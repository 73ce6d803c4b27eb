r"""Train user vectors and item vectors whose product says what comes next.

  python experiments/prepare.py --logs ml-1m.txt --format sasrec --unit user \
      --leave_one_out --out DATA
  python experiments/train.py --workdir runs/items \
      --config configs/retrieval.py --config.data.path=DATA
  python experiments/evaluate.py --run runs/items --data DATA --best
  python experiments/recall.py --run runs/items --data DATA --out vectors

`objective` is full_softmax (over all items, the default), sampled_softmax,
bce, gbce, in_batch (the labels of other users at the same position) or
in_batch_all (labels of all positions). `model=ligr` gates what layers add;
`experts=16` puts a mixture of experts in the place of feed-forward nets.
`runlocal=1` runs in seconds, on generated orders where no dataset is named.
Expected results: docs/retrieval.md.
"""

import ml_collections

from configs.common import is_true
from configs.common import loop_config
from configs.common import parse_arg
from configs.pretrain import own_settings

# Settings of the losses; see behavior_lm/objectives/.
OBJECTIVES: dict[str, dict] = {
    "full_softmax": {},
    "sampled_softmax": dict(
        num_negatives=256,
        shared=False,
        source="uniform",
        correction="negatives",
    ),
    "bce": dict(
        num_negatives=1, shared=False, source="uniform", calibration=0.0
    ),
    "gbce": dict(
        num_negatives=256, shared=False, source="uniform", calibration=0.75
    ),
    "in_batch": dict(degree_weight=1.0, mask_duplicates=False),
    "in_batch_all": dict(
        num_negatives=2_048, shared=True, source="batch", correction="negatives"
    ),
}


def get_config(arg: str = "") -> ml_collections.ConfigDict:
  """A config for `experiments/train.py`.

  Args:
    arg: sets model, objective, experts and runlocal, see the head of this
      file.
  """
  chosen = parse_arg(
      arg,
      model="bert",
      objective="full_softmax",
      runlocal="0",
      experts="0",
  )
  objective = chosen["objective"]
  if objective not in OBJECTIVES:
    raise ValueError(
        f"objective {objective!r}; known are {sorted(OBJECTIVES)}"
    )
  runlocal = is_true(chosen["runlocal"])
  c = loop_config(
      "retrieval",
      total_steps=20 if runlocal else 20_000,
      learning_rate=1e-3,
      runlocal=runlocal,
  )
  # The rate stays where it is after a short rise: the validation item says
  # when to stop, not a number of steps that suits one dataset.
  c.optim.schedule = "linear"
  # With init_from.encoder the tables grow by the new items of newer logs.
  c.init_grow = "embed/token/|categories/action/|^table$"
  c.optim.final_share = 1.0
  c.optim.warmup_share = 0.005
  c.optim.weight_decay = 0.0
  c.log_every = 5 if runlocal else 50

  c.data = ml_collections.ConfigDict()
  c.data.path = ""
  # What experiments/train.py generates where path is empty.
  c.data.synthetic = "orders" if runlocal else ""
  c.data.split = "train"
  c.data.max_length = 32 if runlocal else 200
  # Rows; a packed row holds several short histories. 0 is chosen by the data:
  # about 100 steps per epoch, from 4 to 32 rows, a multiple of 4.
  c.data.batch_size = 4 if runlocal else 0
  c.data.max_segments = 32
  # in_batch compares users at equal positions: a row for each of them.
  c.data.pack = objective != "in_batch"
  # Of histories longer than max_length: random (another place each epoch),
  # windows (all of them in each epoch) or tail.
  c.data.crop = "random"
  # Positions are counted from the start, or from the newest event.
  c.data.positions = "end"
  c.data.gap_kind = "previous"
  # Further fields of an event, by comma: action, hour, weekday, extra columns.
  c.data.features = ""
  c.data.extras = ml_collections.ConfigDict()
  c.data.feature_zone = ""
  c.data.prefetch = 4

  # The item vocabulary; max_items=0 is all that occur min_count times in train.
  c.vocabulary = ml_collections.ConfigDict()
  c.vocabulary.max_items = 0
  c.vocabulary.min_count = 1

  c.model = ml_collections.ConfigDict()
  c.model.name = chosen["model"]
  # none, bucket or gate: of the gap before each event that is read.
  c.model.time_encoding = "none"
  c.model.num_layers = 2
  c.model.embed_dim = 16 if runlocal else 64
  c.model.num_heads = 1
  c.model.mlp_dim = 64 if runlocal else 256
  # -1 is chosen by the data: 0.5 where an item has fewer than 50 events in the
  # mean, else 0.2.
  c.model.dropout_rate = 0.2 if runlocal else -1.0
  c.model.position_encoding = "learned"
  c.model.norm_position = "pre"
  c.model.update(own_settings(c.model, c.data.max_length))
  if int(chosen["experts"]):
    c.model.num_experts = int(chosen["experts"])
    c.model.top_k = 2
    c.model.balance = "bias"
  c.model.causal = True
  c.model.dtype = "float32"
  c.model.remat = "none"
  c.model.scan_layers = False
  c.model.attention_backend = "auto"

  c.output = ml_collections.ConfigDict()
  # The table of candidates is that of the items that are read, or its own.
  c.output.tied = objective != "in_batch"

  c.objective = ml_collections.ConfigDict()
  c.objective.name = objective
  c.objective.update(OBJECTIVES[objective])

  for split, every in (("valid", 10 if runlocal else 200), ("test", 0)):
    c.evals[split] = ml_collections.ConfigDict()
    c.evals[split].evaluator = "ranking"
    c.evals[split].split = split
    c.evals[split].every = every
    c.evals[split].k = 10
    # 0 ranks all items; otherwise so many sampled unseen ones.
    c.evals[split].negatives = 0
    c.evals[split].filter_seen = True
    # Users that are ranked; 0 is all.
    c.evals[split].max_users = 0
  c.keep_best.metric = "valid/ndcg@10"
  c.keep_best.mode = "max"
  c.keep_best.patience = 10
  return c

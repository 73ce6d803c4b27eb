r"""Train vectors of users' long- and short-term interest: two towers.

  python experiments/prepare.py --logs taobao --format taobao --unit user \
      --user_fraction 0.25 --valid_fraction 0.1 --out DATA
  python experiments/train.py --workdir runs/interest \
      --config configs/interest.py --config.data.path=DATA
  python experiments/evaluate.py --run runs/interest --data DATA

`size=described` (the default) is the system as it is described: 128 wide, four
layers of eight heads of 64, 100 experts and a shared one, two per token, five
epochs of batches of 256. `size=small` is for two cores. `objective` is bpr or
in_batch_users, `balance` is share (as described), bias or none.
`runlocal=1` runs in seconds; without a dataset, on synthetic logs of a shop.
Expected results: docs/interest.md.
"""

import ml_collections

from configs.common import is_true
from configs.common import loop_config
from configs.common import parse_arg

# embed_dim, layers, heads, head_dim, mlp_dim, experts, mlp_dim of an expert,
# batch size, epochs.
SIZES = {
    "described": (128, 4, 8, 64, 512, 100, 256, 256, 5),
    "small": (64, 2, 4, 16, 128, 32, 64, 64, 30),
    "tiny": (16, 1, 2, 8, 32, 4, 16, 16, 0),
}
OBJECTIVES: dict[str, dict] = {
    "bpr": dict(num_negatives=1, scale=1.0),
    "in_batch_users": dict(temperature=0.1, num_negatives=0),
}


def get_config(arg: str = "") -> ml_collections.ConfigDict:
  """A config for `experiments/train.py`.

  Args:
    arg: sets size, objective, balance and runlocal, see the head of this file.
  """
  chosen = parse_arg(
      arg, size="described", objective="bpr", balance="share", runlocal="0"
  )
  for name, known in (("size", SIZES), ("objective", OBJECTIVES)):
    if chosen[name] not in known:
      raise ValueError(f"{name} {chosen[name]!r}; known are {sorted(known)}")
  runlocal = is_true(chosen["runlocal"])
  size = SIZES["tiny" if runlocal else chosen["size"]]
  embed, layers, heads, head_dim, mlp, experts, expert_mlp, batch, epochs = size
  c = loop_config(
      "interest", total_steps=20, learning_rate=1e-3, runlocal=runlocal
  )
  # Of the training split; 0 leaves total_steps as it is.
  c.epochs = float(epochs)
  c.optim.schedule = "linear"
  c.optim.final_share = 1.0
  c.optim.warmup_share = 0.0
  c.optim.weight_decay = 0.0

  c.data = ml_collections.ConfigDict()
  c.data.path = ""
  # What experiments/train.py prepares where path is empty.
  c.data.synthetic = "shop" if runlocal else ""
  c.data.split = "train"
  # Events of both sequences that a row has room for, and their minima.
  c.data.long_length = 24 if runlocal else 128
  c.data.short_length = 8 if runlocal else 32
  c.data.least_long = 1 if runlocal else 100
  c.data.least_short = 1 if runlocal else 10
  c.data.short_share = 0.1
  c.data.batch_size = batch
  # none: whole histories, as described; random: another part in each epoch.
  c.data.crop = "none" if chosen["size"] == "described" else "random"
  # Fields of an event beside the item. The calendar tells which long and short
  # sequence follow each other; see docs/interest.md for figures without it.
  c.data.features = (
      "action,category,weekday,hour,weekend,from_start,to_end"
  )
  c.data.category = "category"
  # Unit of from_start and to_end; 0 is the time that the training split spans.
  c.data.span_days = 0.0
  c.data.gap_kind = "previous"
  c.data.extras = ml_collections.ConfigDict()
  c.data.feature_zone = ""
  # One user per row.
  c.data.max_length = 0
  c.data.max_segments = 1
  c.data.pack = False
  c.data.prefetch = 4

  c.vocabulary = ml_collections.ConfigDict()
  c.vocabulary.max_items = 0
  c.vocabulary.min_count = 1

  c.model = ml_collections.ConfigDict()
  # sum, or project: join the fields and project them.
  c.model.join = "sum"
  c.model.embed_dim = embed
  c.model.num_layers = layers
  c.model.num_heads = heads
  c.model.head_dim = head_dim
  c.model.mlp_dim = mlp
  # cls, or mean and the other poolings of behavior_lm/layers/pooling.py.
  c.model.pooling = "cls"
  c.model.norm_position = "pre"
  c.model.activation = "gelu"
  c.model.dropout_rate = 0.1
  c.model.dtype = "float32"
  # Both sequences through the same layers; the description has two towers.
  c.model.share_towers = False

  # num_experts=0 has no mixture.
  c.experts = ml_collections.ConfigDict()
  c.experts.num_experts = experts
  c.experts.top_k = 2
  c.experts.mlp_dim = expert_mlp
  c.experts.shared = True
  c.experts.balance = chosen["balance"]
  c.experts.balance_rate = 1e-3
  # Steps of an epoch of balance=share; 0 is an epoch of the data.
  c.experts.balance_period = 0
  c.experts.gates = "scores"
  c.experts.scale = 1.0
  c.experts.dropout_rate = 0.1
  c.experts.block_rows = 32
  c.experts.chunk = 0

  c.objective = ml_collections.ConfigDict()
  c.objective.name = chosen["objective"]
  # Negatives: uniform, popularity or category, see objectives/bpr.py.
  c.objective.source = "uniform"
  # Factor of the sequence-wise balance loss of experts.
  c.objective.sequence_weight = 0.0
  c.objective.update(OBJECTIVES[chosen["objective"]])

  for split, every in (
      ("valid_users", 10 if runlocal else 100), ("heldout_users", 0)
  ):
    c.evals[split] = ml_collections.ConfigDict()
    c.evals[split].evaluator = "own_short"
    c.evals[split].split = split
    c.evals[split].every = every
    c.evals[split].others = 100
    c.evals[split].max_users = 0
  # join: long and short vector; gate: SDM's; mean: of the fields, no towers.
  for fusion in ("join", "gate", "mean"):
    name = f"purchase_{fusion}"
    c.evals[name] = ml_collections.ConfigDict()
    c.evals[name].evaluator = "next_purchase"
    c.evals[name].split = "heldout_users"
    c.evals[name].every = 0
    c.evals[name].fusion = fusion
    c.evals[name].action = "buy"
    c.evals[name].per_user = 3
  return c

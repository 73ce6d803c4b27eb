r"""Pretrain an encoder on behaviour logs with masked events.

  python experiments/prepare.py --logs LOGS --split_time DATE --out DATA
  python experiments/pretrain.py --workdir runs/gate \
      --config configs/pretrain.py:model=bert,size=small,time=gate \
      --config.data.path=DATA

Any value is set on the command line: --config.total_steps=500. With
`runlocal=1` the same program runs in seconds, to see that it works.
Expected results: experiments/results/pretrain_map204.md.
"""

import ml_collections

# Sizes of BERT. `tiny` is for the demo, `small` learns much in 15 minutes on
# two cores, `base` is the paper's.
SIZES = {
    "tiny": dict(num_layers=2, embed_dim=64, num_heads=1, mlp_dim=256),
    "small": dict(num_layers=3, embed_dim=128, num_heads=2, mlp_dim=512),
    "medium": dict(num_layers=6, embed_dim=384, num_heads=6, mlp_dim=1536),
    "base": dict(num_layers=12, embed_dim=768, num_heads=12, mlp_dim=3072),
}
LENGTHS = {"tiny": 256, "small": 256, "medium": 512, "base": 512}
BATCHES = {"tiny": 8, "small": 8, "medium": 16, "base": 32}
STEPS = {"tiny": 1_500, "small": 10_000, "medium": 50_000, "base": 200_000}
DROPOUT = {"tiny": 0.0, "small": 0.0, "medium": 0.1, "base": 0.1}
POSITIONS = {
    "tiny": "rotary",
    "small": "rotary",
    "medium": "rotary",
    "base": "learned",
}
NORMS = {"tiny": "pre", "small": "pre", "medium": "pre", "base": "post"}
RATES = {"tiny": 2e-3, "small": 2e-3, "medium": 5e-4, "base": 2e-4}


def parse_arg(arg: str, **defaults: str) -> dict[str, str]:
  """ "a=1,b=2" over defaults; unknown keys are refused."""
  values = dict(defaults)
  for item in filter(None, arg.split(",")):
    key, _, value = item.partition("=")
    if key not in defaults:
      raise ValueError(
          f"config argument {key!r} in {arg!r}; known are {sorted(defaults)}"
      )
    values[key] = value
  return values


def get_config(arg: str = "") -> ml_collections.ConfigDict:
  """See the module; `arg` chooses model, size, time and runlocal."""
  chosen = parse_arg(arg, model="bert", size="small", time="gate", runlocal="0")
  size = chosen["size"]
  if size not in SIZES:
    raise ValueError(f"size {size!r}; known are {sorted(SIZES)}")
  runlocal = chosen["runlocal"] not in ("0", "False", "false", "")

  c = ml_collections.ConfigDict()
  c.seed = 0
  c.total_steps = 20 if runlocal else STEPS[size]
  # A run folder whose parameters start this run; empty = from scratch.
  c.init_from = ""

  c.data = ml_collections.ConfigDict()
  c.data.path = ""
  c.data.split = "train"
  c.data.max_length = 64 if runlocal else LENGTHS[size]
  c.data.batch_size = BATCHES[size]
  c.data.max_segments = 8
  c.data.pack = True
  c.data.gap_kind = "next"
  c.data.prefetch = 4

  c.tokenizer = ml_collections.ConfigDict()
  c.tokenizer.kind = "pair"
  c.tokenizer.vocab_size = 7_000
  # A tokenizer folder to use; empty = build one from the training split.
  c.tokenizer.path = ""

  c.model = ml_collections.ConfigDict()
  c.model.name = chosen["model"]
  c.model.time_encoding = chosen["time"]
  c.model.update(SIZES["tiny"] if runlocal else SIZES[size])
  c.model.dropout_rate = DROPOUT[size]
  c.model.position_encoding = POSITIONS[size]
  c.model.norm_position = NORMS[size]
  c.model.causal = False
  c.model.dtype = "float32"

  c.objective = ml_collections.ConfigDict()
  c.objective.name = "masked_events"
  c.objective.mask_rate = 0.15
  c.objective.strategy = "uniform"
  c.objective.mask_share = 0.8
  c.objective.random_share = 0.1

  c.optim = ml_collections.ConfigDict()
  c.optim.learning_rate = RATES[size]
  c.optim.warmup_steps = 5 if runlocal else max(100, STEPS[size] // 20)
  c.optim.schedule = "cosine"
  c.optim.final_share = 0.02
  c.optim.weight_decay = 0.01
  c.optim.beta1 = 0.9
  c.optim.beta2 = 0.98
  c.optim.clip_norm = 1.0

  # Axes of the device mesh; -1 takes all devices that are left.
  c.mesh = ml_collections.ConfigDict()
  c.mesh.data = -1
  c.mesh.model = 1

  c.log_every = 5 if runlocal else 50
  c.checkpoint_every = 10 if runlocal else 500
  c.checkpoints_to_keep = 2
  # Stop, saved, after so many minutes of training; 0 = no limit.
  c.max_minutes = 0.0

  c.eval = ml_collections.ConfigDict()
  # The later days if the dataset has them; empty = no evaluation.
  c.eval.split = "test"
  c.eval.mask_rate = 0.15
  c.eval.mask_seed = 0
  # Steps between evaluations while training; 0 = only at the end.
  c.eval.every = 0
  return c

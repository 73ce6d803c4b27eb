"""What the configs of all recipes share: the keys that the loop reads."""

import ml_collections


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


def is_true(text: str) -> bool:
  """Whether an argument such as runlocal=1 is on."""
  return text not in ("0", "False", "false", "")


def adapt_config(
    mode: str, *, lora_targets: str, prefix_length: int
) -> ml_collections.ConfigDict:
  """What of an encoder is trained, see recipes/shared/adaptation.py.

  Args:
    mode: probe, head, top, full, lora or prefix, for example.
    lora_targets: linear layers by their names, qkv, out, mlp_in, mlp_out, or
      the parts query, key and value of qkv.
    prefix_length: keys and values before the tokens.
  """
  c = ml_collections.ConfigDict()
  c.mode = mode
  c.top_layers = 1
  # Factor of the learning rate from one layer to the one below.
  c.layer_decay = 1.0
  c.lora_rank = 8
  c.lora_alpha = 16.0
  c.lora_dropout = 0.05
  c.lora_targets = lora_targets
  c.prefix_length = prefix_length
  # Whether positions of tokens begin behind the prefix, as in transformers.
  c.prefix_shift = False
  return c


def loop_config(
    recipe: str, *, total_steps: int, learning_rate: float, runlocal: bool
) -> ml_collections.ConfigDict:
  """The keys of every config.

  Args:
    recipe: key of `behavior_lm.recipes.train.RECIPES`.
    total_steps: of the run; the learning rate follows it.
    learning_rate: the peak.
    runlocal: a run of seconds, to see that it works.
  """
  c = ml_collections.ConfigDict()
  c.recipe = recipe
  c.seed = 0
  c.total_steps = total_steps

  # Run folders whose parameters start this run, by subtree; an empty folder
  # starts the subtree from scratch. Other subtrees may be added in a config:
  # {"encoder/embed": RUN}.
  c.init_from = ml_collections.ConfigDict()
  c.init_from.encoder = ""
  c.init_from.head = ""
  # Regular expression over the paths of parameters in those subtrees that the
  # other runs do not have: adapters.
  c.init_new = ""
  # Likewise of tables that may have more rows here: the first ones come from
  # the other run.
  c.init_grow = ""

  c.optim = ml_collections.ConfigDict()
  c.optim.learning_rate = learning_rate
  # Share of the steps in which the learning rate rises.
  c.optim.warmup_share = 0.05
  c.optim.schedule = "cosine"
  c.optim.final_share = 0.02
  # Factors of the learning rate, FACTOR:SHARE of the steps by comma, such as
  # 1:0.6,0.5:0.4; empty is 1 throughout.
  c.optim.rate_stages = ""
  c.optim.weight_decay = 0.01
  c.optim.beta1 = 0.9
  c.optim.beta2 = 0.98
  c.optim.clip_norm = 1.0
  # Regular expressions over the paths of parameters, such as encoder/embed:
  # what is not trained, what does not decay (beside vectors), and factors of
  # the learning rate.
  c.optim.freeze = ""
  c.optim.no_decay = ""
  c.optim.rate_scales = ml_collections.ConfigDict()

  # Axes of the device mesh; -1 takes all devices that are left.
  c.mesh = ml_collections.ConfigDict()
  c.mesh.data = -1
  c.mesh.model = 1

  c.log_every = 5 if runlocal else 50
  c.checkpoint_every = 10 if runlocal else 500
  c.checkpoints_to_keep = 2
  # Leave parameters that optim.freeze keeps as they are out of checkpoints;
  # they come from init_from each time.
  c.checkpoint_trained_only = False
  # Stop, saved, after so many minutes of training; 0 is no limit.
  c.max_minutes = 0.0
  # Stop after so many updates in a row that were refused because the loss or
  # its gradient was not finite.
  c.max_skipped = 10

  # Evaluators by name: the kind (a key of behavior_lm.evaluation.evaluators),
  # a split, the steps between two evaluations while training (0 leaves it to
  # experiments/evaluate.py), and the settings of the kind.
  c.evals = ml_collections.ConfigDict()
  # The best checkpoint is kept beside the last ones, in checkpoints_best/, if
  # a metric is named, such as valid/bits_per_event; with patience, the run
  # stops after so many evaluations without a better value.
  c.keep_best = ml_collections.ConfigDict()
  c.keep_best.metric = ""
  c.keep_best.mode = "min"
  c.keep_best.patience = 0
  return c

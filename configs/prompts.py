r"""Adapt a language model to prompts of several domains.

  python experiments/export.py --huggingface FOLDER --workdir runs/minilm
  python experiments/train.py --workdir runs/prompts \
      --config configs/prompts.py:run=runs/minilm,mode=lora \
      --config.prompts.sources.beauty=All_Beauty_5.json.gz \
      --config.prompts.sources.music=Musical_Instruments_5.json.gz

`mode` says what is trained: probe or head (the language model is frozen), top,
full, lora, prefix (P-tuning v2) or soft (a soft prompt at the input);
`pooling` is mean, cls, gaussian, query, max or last. Without a `run`, a small
model with a vocabulary of words is trained from nothing. With `runlocal=1` the
program runs in seconds, on made-up domains. See docs/domains.md.
"""

import ml_collections

from configs.common import adapt_config
from configs.common import is_true
from configs.common import loop_config
from configs.common import parse_arg
from configs.finetune import RATES

# A film is not reviewed: others' titles would say nothing.
TEMPLATES = {"movies": "{domain}. Item: {item}. User: {history}."}


def prompts_config(runlocal: bool) -> ml_collections.ConfigDict:
  """The section `prompts`, of configs/domains.py too."""
  c = ml_collections.ConfigDict()
  # {domain: path}, see behavior_lm/data/prompts/interactions.py. Domains are
  # added on the command line: --config.prompts.sources.NAME=PATH.
  c.sources = ml_collections.ConfigDict()
  for name in ("beauty", "fashion", "music", "movies"):
    c.sources[name] = ""
  if runlocal:
    c.sources.beauty = "synthetic:240:0"
    c.sources.music = "synthetic:240:1"
  # The last rows of each domain in time, where a source has no split.
  c.valid_share = 0.1
  c.test_share = 0.2
  # Domains, by comma, that nothing is trained on, but that are tested.
  c.left_out = ""
  # {domain: text with {domain}, {item}, {reviews} and {history}}; others have
  # the template of behavior_lm/data/prompts/templates.py.
  c.templates = ml_collections.ConfigDict(TEMPLATES)
  # Earlier interactions of the user, earlier reviews of the item, characters
  # of each, and tokens of a prompt.
  c.history_length = 2
  c.num_reviews = 2
  c.text_length = 40
  c.max_length = 24 if runlocal else 64
  return c


def evals_config(c: ml_collections.ConfigDict, every: int) -> None:
  """AUC and log loss of each domain; the best mean AUC on valid is kept."""
  for split in ("valid", "test"):
    c.evals[split] = ml_collections.ConfigDict()
    c.evals[split].evaluator = "domains"
    c.evals[split].split = split
    c.evals[split].every = every if split == "valid" else c.total_steps
  c.keep_best.metric = "valid/auc"
  c.keep_best.mode = "max"


def get_config(arg: str = "") -> ml_collections.ConfigDict:
  """A config for `experiments/train.py`.

  Args:
    arg: sets run, mode, pooling and runlocal, see the head of this file.
  """
  chosen = parse_arg(arg, run="", mode="lora", pooling="mean", runlocal="0")
  runlocal = is_true(chosen["runlocal"])
  mode = chosen["mode"] if chosen["run"] else "full"
  rates = RATES | {"full": 5e-5, "top": 1e-4, "lora": 1e-3, "soft": 1e-2}
  if mode not in rates:
    raise ValueError(f"mode {mode!r}; known are {sorted(rates)}")
  c = loop_config(
      "prompts",
      total_steps=20 if runlocal else 600,
      learning_rate=rates[mode] if chosen["run"] else 2e-3,
      runlocal=runlocal,
  )
  c.optim.warmup_share = 0.1
  c.prompts = prompts_config(runlocal)

  c.encoder = ml_collections.ConfigDict()
  # A run folder of an imported language model; empty trains one from nothing.
  c.encoder.run = chosen["run"]
  c.encoder.from_scratch = not chosen["run"]
  # Of the language model while it is adapted; below 0 is its own.
  c.encoder.dropout_rate = 0.1
  # Of its computation; empty is its own. Parameters are float32.
  c.encoder.dtype = ""

  # The language model; that of `encoder.run` replaces it.
  c.model = ml_collections.ConfigDict()
  c.model.name = "bert"
  c.model.vocab_size = 0
  c.model.num_layers = 2
  c.model.embed_dim = 16 if runlocal else 64
  c.model.num_heads = 2
  c.model.mlp_dim = 32 if runlocal else 256
  c.model.max_length = 128
  c.model.time_encoding = "none"
  c.model.dropout_rate = 0.1

  c.tokenizer = ml_collections.ConfigDict()
  # Words of a new vocabulary, beside single letters.
  c.tokenizer.max_words = 2_000

  c.data = ml_collections.ConfigDict()
  # Rows, and tokens of a row; several prompts are packed into one.
  c.data.batch_size = 4 if runlocal else 16
  c.data.max_length = 48 if runlocal else 128
  c.data.max_segments = 4
  c.data.pack = True
  c.data.prefetch = 4

  c.adapt = adapt_config(mode, lora_targets="query|value", prefix_length=20)
  c.adapt.soft_length = 8

  c.head = ml_collections.ConfigDict()
  # A key of behavior_lm.layers.pooling.POOLINGS, and its options.
  c.head.pooling = chosen["pooling"]
  c.head.pooling_options = ml_collections.ConfigDict()
  c.head.layer = -1
  c.head.hidden_dim = 0
  c.head.dropout_rate = 0.0 if mode == "probe" else 0.1

  evals_config(c, every=10 if runlocal else 100)
  return c

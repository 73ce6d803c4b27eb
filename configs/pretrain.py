r"""Pretrain an encoder on behaviour logs, with masked or with next events.

  python experiments/prepare.py --logs LOGS --split_time DATE --out DATA
  python experiments/train.py --workdir runs/mine \
      --config configs/pretrain.py:model=bert,size=small,time=bucket \
      --config.data.path=DATA

`objective=next_events` trains a causal model that predicts each event from its
past, and `objective=next_events+future_events` also those of the next minutes.
`objective=masked_events+contrastive` trains with a weighted sum: each
objective has its own section, --config.objective.contrastive.weight=0.1, and
its own evaluator; docs/objectives.md lists them. `length=4096` makes rows of
4,096 tokens, fewer of them in a batch, and attention windows that suit the
length (--config.data.max_length alone would keep those of the size).
`experts=16` puts a mixture of 16 experts, two per token, in the place of each
feed-forward net. Any value is set on the command line:
--config.total_steps=500. With `runlocal=1` the same program runs in
seconds, on generated logs where no dataset is named.
Expected results: experiments/results/pretrain_map204.md.
"""

import ml_collections

from configs.common import is_true
from configs.common import loop_config
from configs.common import parse_arg

# `tiny` is for the demo, `small` learns much in a quarter of an hour on two
# cores, `base` is the paper's BERT. The small ones depart from the paper where
# a short run gains by it. On map_204, one seed each: learned positions and
# norms after each part left the training loss at 5.1 nats after 400 steps,
# rotary positions at 4.2. Masked perplexity on training days after 600 steps:
# 60 with rotary positions, 20 with norms before each part too; from there 15
# with windows of 128 instead of 256 tokens, or 16 with 40 % masked; 13 with
# both, 11 if always masked by [MASK].
_SHORT_RUN = dict(
    max_length=128,
    batch_size=16,
    dropout_rate=0.0,
    position_encoding="rotary",
    norm_position="pre",
    mask_rate=0.4,
    mask_share=1.0,
    random_share=0.0,
    learning_rate=2e-3,
)
_PAPER = dict(
    max_length=512,
    batch_size=32,
    dropout_rate=0.1,
    position_encoding="learned",
    norm_position="post",
    mask_rate=0.15,
    mask_share=0.8,
    random_share=0.1,
    learning_rate=2e-4,
)
SIZES: dict[str, dict] = {
    "tiny": _SHORT_RUN
    | dict(
        num_layers=2, embed_dim=64, num_heads=1, mlp_dim=256, total_steps=1_500
    ),
    "small": _SHORT_RUN
    | dict(
        num_layers=3, embed_dim=128, num_heads=2, mlp_dim=512, total_steps=7_000
    ),
    "medium": _SHORT_RUN
    | dict(
        num_layers=6,
        embed_dim=384,
        num_heads=6,
        mlp_dim=1536,
        total_steps=50_000,
        max_length=512,
        dropout_rate=0.1,
        learning_rate=5e-4,
    ),
    "base": _PAPER
    | dict(
        num_layers=12,
        embed_dim=768,
        num_heads=12,
        mlp_dim=3072,
        total_steps=200_000,
    ),
}


def _parse_length(text: str) -> int:
  if not text.isdecimal() or int(text) < 1:
    raise ValueError(f"length {text!r}: how many tokens has a row?")
  return int(text)


def own_settings(
    model: ml_collections.ConfigDict, max_length: int
) -> dict[str, object]:
  """What one architecture has and others do not; see behavior_lm/models."""
  window = max(1, min(128, max_length // 4))
  return {
      "bert": {},
      "albert": {"embedding_dim": min(128, model.embed_dim // 2)},
      # Or one number a layer, behind `with config.ignore_type():`.
      "longformer": {"window_size": window, "dilation": 1},
      "modern": {
          "position_encoding": "rotary",
          "norm_position": "pre",
          "use_bias": False,
          "window_size": window,
          "global_every": 3,
      },
      "reformer": {
          "norm_position": "pre",
          "attention_layers": ("local", "lsh"),
          "window_size": max(1, min(64, max_length // 4)),
          "num_hashes": 2,
          "chunk_size": max(2, min(64, max_length // 4)),
          "feed_forward_chunk": 0,
          "reversible": True,
      },
  }.get(model.name, {})


def objective_settings(name: str, size: dict) -> dict[str, object]:
  """The settings of one objective; see behavior_lm/objectives."""
  masking = {
      **{key: size[key] for key in ("mask_rate", "mask_share", "random_share")},
      "mask_rate_end": 0.0,
      # uniform, span, session_span, idf, mtc or pmtc, with their settings; see
      # behavior_lm/objectives/masked_events.py.
      "strategy": "uniform",
      "span_length": 3.0,
      "temperature": 0.0,
      "mtc_share": 0.1,
      "mtc_share_end": -1.0,
      "budget": "exact",
  }
  return {
      "masked_events": masking,
      # gap_loss: density or regression.
      "masked_gaps": masking
      | {
          "event_weight": 1.0,
          "gap_weight": 1.0,
          "gap_components": 8,
          "gap_loss": "density",
      },
      # gap_weight: of the time to the next event in the loss; 0 leaves it out.
      # history_rate: of windows with a history token; vectors of the pooling
      # "history" are then those of such a token.
      "next_events": {
          "gap_weight": 0.0,
          "gap_components": 8,
          "history_rate": 0.0,
      },
      # Seconds; and the positions that are asked, as a share of a row.
      "future_events": {
          "horizon": 600.0,
          "position_share": 0.25,
          "cut_horizons": True,
      },
      "contrastive": {"temperature": 0.1},
      "replaced_events": {"replace_rate": 0.15},
  }.get(name, {})


# What measures each objective, with its settings; the first one is named after
# its split, others SPLIT_EVALUATOR.
_FIXED_MASK = {"mask_rate": 0.15, "mask_seed": 0}
EVALUATORS: dict[str, dict[str, dict]] = {
    "masked_events": {"masked_events": _FIXED_MASK},
    "masked_gaps": {"masked_events": _FIXED_MASK, "masked_gaps": _FIXED_MASK},
    "next_events": {"next_events": {}},
    "future_events": {"future_events": {"stride": 8}},
}
# Objectives that predict the future, for which the model is causal.
CAUSAL = ("next_events", "future_events")
# Settings that an evaluator has of its objective, so that one flag sets both.
_SHARED = {"future_events": ("horizon", "cut_horizons")}


def get_config(arg: str = "") -> ml_collections.ConfigDict:
  """A config for `experiments/train.py`.

  Args:
    arg: sets model, size, objective, length, time, tokens, experts and
      runlocal, see the head of this file.
  """
  chosen = parse_arg(
      arg,
      model="bert",
      size="small",
      objective="masked_events",
      length="",
      time="bucket",
      tokens="pair",
      runlocal="0",
      experts="0",
  )
  tokens = chosen["tokens"]
  if tokens not in ("pair", "bpe"):
    raise ValueError(f"tokens {tokens!r}; known are 'bpe' and 'pair'")
  size = chosen["size"]
  if size not in SIZES:
    raise ValueError(f"size {size!r}; known are {sorted(SIZES)}")
  runlocal = is_true(chosen["runlocal"])
  values = SIZES["tiny" if runlocal else size]
  objectives = chosen["objective"].split("+")
  causal = any(name in CAUSAL for name in objectives)
  c = loop_config(
      "pretrain",
      total_steps=20 if runlocal else values["total_steps"],
      learning_rate=values["learning_rate"],
      runlocal=runlocal,
  )

  c.data = ml_collections.ConfigDict()
  c.data.path = ""
  # What experiments/train.py generates where path is empty.
  c.data.synthetic = "game" if runlocal else ""
  c.data.split = "train"
  c.data.max_length = 64 if runlocal else values["max_length"]
  c.data.batch_size = 4 if runlocal else values["batch_size"]
  if chosen["length"]:
    tokens_a_step = c.data.batch_size * c.data.max_length
    c.data.max_length = _parse_length(chosen["length"])
    c.data.batch_size = max(1, tokens_a_step // c.data.max_length)
  # Rows that grow: LENGTH:SHARE of the steps by comma, the last length is
  # max_length. Batches keep their tokens: rows of half the length are twice as
  # many. optim.rate_stages gives each stage a learning rate.
  c.data.length_schedule = ""
  # Windows in a row; long rows of many short ones would be cut off by fewer.
  c.data.max_segments = max(8, c.data.max_length // 128)
  c.data.pack = True
  # A causal model reads the gap before an event, others the one behind it.
  c.data.gap_kind = "previous" if causal else "next"
  c.data.prefetch = 4
  # How histories longer than max_length are cut: windows, strided (by
  # data.stride tokens), crop or last; see behavior_lm/data/windows.py.
  c.data.history = "windows"
  c.data.stride = 0
  # Further fields of a token, by comma: hour, weekday, account_age, ... and
  # extra columns of the dataset; see behavior_lm/data/time_features.py.
  c.data.features = ""
  # What is known of the extra columns; taken from the dataset.
  c.data.extras = ml_collections.ConfigDict()
  # Time zone of hour and weekday; empty = the dataset's.
  c.data.feature_zone = ""

  c.tokenizer = ml_collections.ConfigDict()
  c.tokenizer.kind = tokens
  c.tokenizer.vocab_size = {"pair": 7_000, "bpe": 50_000}[tokens]
  # Of bpe: see behavior_lm/data/tokenizers/bpe.py.
  c.tokenizer.alphabet_size = 7_000
  c.tokenizer.max_piece_events = 64
  c.tokenizer.segmentation = "merges"
  # No token crosses a session: none, seconds (1800), a quantile of the
  # sequence's gaps (q0.98), or learned.
  c.tokenizer.sessions = {"pair": "none", "bpe": "1800"}[tokens]
  c.tokenizer.sep_tokens = False
  c.tokenizer.collapse_repeats = False
  # A tokenizer folder to use; empty = build one from the training split.
  c.tokenizer.path = ""

  c.model = ml_collections.ConfigDict()
  c.model.name = chosen["model"]
  c.model.time_encoding = chosen["time"]
  # What it reads instead of the gaps, to tell time from parameters: shuffled
  # or constant.
  c.model.time_control = "none"
  for field in (
      "num_layers",
      "embed_dim",
      "num_heads",
      "mlp_dim",
      "dropout_rate",
      "position_encoding",
      "norm_position",
  ):
    c.model[field] = values[field]
  c.model.update(own_settings(c.model, c.data.max_length))
  if int(chosen["experts"]):
    c.model.num_experts = int(chosen["experts"])
    c.model.top_k = 2
    c.model.balance = "bias"
  # Hashed vectors of the last 2 to ngram_order tokens at the input; 0 is none.
  c.model.ngram_order = 0
  c.model.ngram_buckets = 32_768
  # Sentences, by tokenizer.sessions: a vector for the number of a token's
  # session, up to so many rows (0 is none); and so many layers at the bottom
  # that attend within sessions.
  c.model.session_rows = 0
  c.model.session_layers = 0
  # Two levels: so many layers among the vectors of sentences, above those
  # `session_layers`; and sentences of a row that have a vector, where 0 is a
  # quarter of max_length. sentences_left_out is the share of the others.
  c.model.sentence_layers = 0
  c.model.max_sentences = 0
  # No token sees a later one of its sequence.
  c.model.causal = causal
  # Of the computation; parameters and statistics are float32.
  c.model.dtype = "float32"
  # What layers keep for the gradient (none of it is computed again, the
  # products alone are kept, or nothing): none, dots, full.
  c.model.remat = "none"
  # One compiled body for all layers: deep models compile in less time.
  c.model.scan_layers = False
  # Which implementation attends; see docs/attention.md.
  c.model.attention_backend = "auto"

  c.objective = ml_collections.ConfigDict()
  c.objective.name = chosen["objective"]
  for name in objectives:
    settings = objective_settings(name, values)
    if len(objectives) == 1:
      c.objective.update(settings)
    else:
      c.objective[name] = {"weight": 1.0, **settings}

  # What the model is scored on, while training and by evaluate.py. To choose a
  # checkpoint or a setting, use valid (--valid_time or --valid_fraction of
  # prepare.py make the split): --config.evals.valid.every=500
  # --config.keep_best.metric=valid/bits_per_event.
  measured: dict[str, dict] = {}
  for name in objectives:
    section = c.objective if len(objectives) == 1 else c.objective[name]
    shared = {key: section.get_ref(key) for key in _SHARED.get(name, ())}
    for evaluator, settings in EVALUATORS.get(name, {name: {}}).items():
      measured[evaluator] = settings | shared
  for split in ("test", "valid"):
    for place, (evaluator, settings) in enumerate(measured.items()):
      name = f"{split}_{evaluator}" if place else split
      c.evals[name] = ml_collections.ConfigDict(
          dict(evaluator=evaluator, split=split, every=0, **settings)
      )
  return c

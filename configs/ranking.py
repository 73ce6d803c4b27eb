r"""Rank candidates for a user in real time: TransAct in a wide and deep stack.

  python experiments/train.py --workdir runs/ranking \
      --config configs/ranking.py:table=ml1m_ctr,history=transact \
      --config.data.path=ml1m_ctr
  python experiments/evaluate.py --run runs/ranking --best
  python experiments/rank.py --run runs/ranking --requests new.parquet \
      --out scores.parquet

`table` is ml1m_ctr, criteo, taobao, requests (what experiments/generate.py
writes with --requests) or none: say of your own table which columns are what
with --config.data.columns and data.features. `history` is none (DCN v2),
average, cnn, gru, din, bst or transact. `runlocal=1` runs in seconds, to see
that it works. See docs/ranking.md, where the figures are.
"""

import ml_collections

from configs.common import is_true
from configs.common import loop_config
from configs.common import parse_arg

HISTORIES = ("none", "average", "cnn", "gru", "din", "bst", "transact")


def _section(**values) -> ml_collections.ConfigDict:
  return ml_collections.ConfigDict(values)


def _nothing() -> dict:
  """A table that the command line declares."""
  return dict(
      files=("", "", ""),
      header="",
      lookups={},
      columns=dict(heads="", user="", time="", weight="", timezone="UTC"),
      features=dict(dense={}, categorical={}, sequences={}, texts=()),
      candidate="",
      actions="",
      category="",
  )


def _ml1m_ctr() -> dict:
  """CoLLM's cut of MovieLens: liked (4 and 5 stars) or not."""
  return _nothing() | dict(
      files=("train.parquet", "valid.parquet", "test.parquet"),
      lookups={"iid": "items.tsv"},
      columns=dict(
          heads="label",
          user="uid",
          time="timestamp",
          weight="",
          timezone="UTC",
      ),
      features=dict(
          dense={},
          categorical={"uid": {}, "iid": {}},
          sequences={"genres": {"max_length": 6}},
          texts=(),
      ),
      candidate="iid",
      actions="rows",
      category="genres",
  )


def _requests() -> dict:
  """What experiments/generate.py writes with --requests."""
  return _nothing() | dict(
      files=("train.parquet", "valid.parquet", "test.parquet"),
      columns=dict(
          heads="click,hide", user="user", time="time", weight="",
          timezone="UTC",
      ),
      features=dict(
          dense={"price": "log"},
          categorical={"user": {}, "item": {}, "device": {"buckets": 8}},
          sequences={"tags": {"max_length": 3}},
          texts=(),
      ),
      candidate="item",
      actions="rows",
      category="tags",
  )


def _taobao() -> dict:
  """Hours of users of Taobao's log; --config.data.actions is the dataset."""
  return _nothing() | dict(
      files=("train.parquet", "valid.parquet", "test.parquet"),
      columns=dict(
          heads="click,favourite,cart,buy", user="user", time="time",
          weight="", timezone="UTC",
      ),
      features=dict(
          dense={},
          categorical={"user": {}, "item": {}, "category": {}},
          sequences={},
          texts=(),
      ),
      candidate="item",
      category="category",
  )


def _criteo() -> dict:
  """The display advertising log: 13 numbers, 26 categories, no user."""
  return _nothing() | dict(
      files=("train.txt", "", ""),
      header="criteo",
      columns=dict(heads="label", user="", time="", weight="", timezone="UTC"),
      features=dict(
          dense={f"I{place}": "log" for place in range(1, 14)},
          categorical={
              f"C{place}": {"min_count": 10} for place in range(1, 27)
          },
          sequences={},
          texts=(),
      ),
  )


TABLES = {
    "none": _nothing,
    "ml1m_ctr": _ml1m_ctr,
    "requests": _requests,
    "taobao": _taobao,
    "criteo": _criteo,
}


def _data(table: dict, runlocal: bool) -> ml_collections.ConfigDict:
  c = ml_collections.ConfigDict()
  # The folder of the tables, and the files in it.
  c.path = ""
  c.train, c.valid, c.test = table["files"]
  # Names of the columns by comma, of files without a header line; or criteo.
  c.header = table["header"]
  # {column: file of the folder that says more about its values}.
  c.lookups = ml_collections.ConfigDict(table["lookups"])
  c.columns = ml_collections.ConfigDict(table["columns"])
  c.features = ml_collections.ConfigDict(table["features"])
  c.max_bad_fraction = 0.01
  # Where the last actions come from: empty is none, "rows" the earlier rows of
  # all tables, otherwise a dataset of experiments/prepare.py.
  c.actions = table["actions"]
  # Further tables, by comma, whose rows are actions alone: those of older days,
  # with "rows".
  c.past = ""
  # Event ids, by comma, that are no actions.
  c.excluded_actions = ""
  # The column of the item that is shown; actions share its vectors.
  c.candidate = table["candidate"]
  c.num_actions = 20 if runlocal else 100
  # A Parquet file of experiments/embed.py over user-days: a row reads its
  # user's last vector of a day before the request. The recipe sets user_dim.
  c.user_vectors = ""
  c.user_dim = 0
  # Share of the rows without any action that are trained on; predictions are
  # calibrated back.
  c.negative_rate = 1.0
  c.batch_size = 64 if runlocal else 256
  c.eval_batch_size = 256 if runlocal else 2048
  return c


def get_config(arg: str = "") -> ml_collections.ConfigDict:
  """A config for `experiments/train.py`.

  Args:
    arg: sets table, history and runlocal, see the head of this file.
  """
  chosen = parse_arg(
      arg, table="requests", history="transact", runlocal="0"
  )
  table, history = chosen["table"], chosen["history"]
  if table not in TABLES:
    raise ValueError(f"table {table!r}; known are {sorted(TABLES)}")
  if history not in HISTORIES:
    raise ValueError(f"history {history!r}; known are {HISTORIES}")
  if table == "criteo":
    history = "none"
  runlocal = is_true(chosen["runlocal"])
  c = loop_config(
      "ranking", total_steps=1, learning_rate=1e-3, runlocal=runlocal
  )
  # The recipe sets the steps by the epochs; 0 keeps total_steps.
  c.epochs = 2 if runlocal else 12
  c.evals_per_epoch = 1
  c.log_every = 5 if runlocal else 50
  c.checkpoint_every = 1_000
  # The ranker that this run goes on from, with newer rows; its ids keep their
  # vectors.
  c.init_from.model = ""
  c.init_grow = "^vectors$|^wide$"
  c.optim.weight_decay = 0.0
  c.optim.beta2 = 0.99
  c.optim.clip_norm = 10.0
  # The weight of a single category learns faster than what meets others: there
  # the popularity of items is, and the rest overfits while it is learned.
  c.optim.rate_scales = ml_collections.ConfigDict({"wide": 10.0})

  c.data = _data(TABLES[table](), runlocal)

  c.model = ml_collections.ConfigDict()
  c.model.embed_dim = 8 if runlocal else 32
  c.model.history = history
  # Settings of each encoder, by its name; see behavior_lm/models/histories/.
  c.model.history_options = _section(
      transact=_section(
          fusion="concat",
          num_layers=1 if runlocal else 2,
          num_heads=1,
          mlp_dim=16 if runlocal else 32,
          dropout_rate=0.1,
          num_first=10,
          pool="all",
          positions=False,
          time_encoding="none",
      ),
      bst=_section(num_layers=1, num_heads=1, mlp_dim=64, dropout_rate=0.1),
      din=_section(hidden_dim=32),
      gru=_section(hidden_dim=32),
      cnn=_section(hidden_dim=32, kernel_size=3),
  )
  # How often the user did what, over the whole history.
  c.model.counts = True
  c.model.cross_layers = 2
  # Hidden layers beside the crosses, by comma.
  c.model.mlp_dims = "16" if runlocal else "64"
  c.model.wide = True
  c.model.products = True
  c.model.dropout_rate = 0.2
  # Share of categories that are made unknown while training.
  c.model.unknown_rate = 0.0 if table == "criteo" else 0.1
  # none, example or batch: what hides the newest actions while training.
  c.model.window = "example"
  c.model.window_hours = 24.0
  # The newest actions that the encoder reads, 0 is all of them; and of the
  # others, up to data.num_actions, those nearest to the candidate.
  c.model.num_recent = 0
  c.model.num_nearest = 0
  c.model.init_scale = 0.05

  c.objective = ml_collections.ConfigDict()
  # Squares of the vectors and weights that a batch looks up.
  c.objective.l2 = 1e-3
  # The loss on the next action of the user's own sequence, of transact, and its
  # negatives: so many items of actions of the batch, or all candidates of it
  # ("shown").
  c.objective.next_weight = 0.0
  c.objective.next_negatives = 64
  c.objective.next_source = "batch"
  # Row per head, number per action and one for "no action": "1,0,1;0,1,1".
  c.objective.label_weights = ""
  # {user id: factor of the loss}.
  c.objective.user_weights = ml_collections.ConfigDict()

  for split in ("valid", "test"):
    c.evals[split] = ml_collections.ConfigDict()
    c.evals[split].evaluator = "requests"
    c.evals[split].split = split
    c.evals[split].every = 0
    c.evals[split].k = 3
    # {head: factor in the sum that candidates are ordered by}.
    c.evals[split].head_weights = ml_collections.ConfigDict()
    # The column by which the diversity of the first k is measured.
    c.evals[split].category = TABLES[table]()["category"]
  if table == "criteo":
    c.evals_per_epoch = 0
  first = c.data.columns.heads.split(",")[0]
  several = "," in c.data.columns.heads
  c.keep_best.metric = f"valid/{first}/auc" if several else "valid/auc"
  c.keep_best.mode = "max"
  c.keep_best.patience = 4
  if table in ("criteo", "none"):
    c.keep_best.metric, c.keep_best.patience = "", 0
  return c

r"""Train experts and a tower per domain, with or without a language model.

  python experiments/train.py --workdir runs/domains \
      --config configs/domains.py:structure=cgc,language=runs/prompts \
      --config.prompts.sources.beauty=All_Beauty_5.json.gz \
      --config.prompts.sources.music=Musical_Instruments_5.json.gz

`structure` is single, separate, mmoe, cgc or ple. `language` is a run of
configs/prompts.py, or an imported language model; it is frozen, and each
prompt's vector is a feature and joins the gates. Without it there are ids and
statistics alone. `--config.prompts.left_out=music` trains without a domain and
tests on it. With `runlocal=1` the program runs in seconds, on made-up domains.
See docs/domains.md.
"""

import ml_collections

from configs.common import is_true
from configs.common import loop_config
from configs.common import parse_arg
from configs.prompts import evals_config
from configs.prompts import prompts_config


def get_config(arg: str = "") -> ml_collections.ConfigDict:
  """A config for `experiments/train.py`.

  Args:
    arg: sets structure, language and runlocal, see the head of this file.
  """
  chosen = parse_arg(arg, structure="cgc", language="", runlocal="0")
  runlocal = is_true(chosen["runlocal"])
  c = loop_config(
      "domains",
      total_steps=20 if runlocal else 1_000,
      learning_rate=2e-3,
      runlocal=runlocal,
  )
  c.optim.weight_decay = 0.1
  c.prompts = prompts_config(runlocal)

  c.language = ml_collections.ConfigDict()
  c.language.run = chosen["language"]
  # Of an imported model; a run of configs/prompts.py has its own.
  c.language.pooling = "mean"
  c.language.pooling_options = ml_collections.ConfigDict()
  c.language.dtype = ""
  # Folder of the vectors; they are computed once per model and prompts.
  c.language.cache = "runs/prompt_vectors"
  c.language.batch_size = 8
  c.language.row_length = 128

  c.features = ml_collections.ConfigDict()
  # Values of a column that are rarer in training rows are unknown.
  c.features.min_count = 3

  c.data = ml_collections.ConfigDict()
  c.data.batch_size = 32 if runlocal else 256
  c.data.max_length = 1
  c.data.max_segments = 1
  c.data.pack = False
  c.data.prefetch = 0

  c.towers = ml_collections.ConfigDict()
  c.towers.structure = chosen["structure"]
  # One more tower, for domains that were never seen; all rows train it.
  c.towers.general_tower = True
  c.towers.embed_dim = 8
  c.towers.vector_width = 16 if runlocal else 32
  # language: the prompt's vector joins the gates; features: it does not.
  c.towers.gate_input = "language"
  c.towers.num_experts = 4
  c.towers.own_experts = 1
  c.towers.shared_experts = 2
  c.towers.num_layers = 2
  c.towers.hidden = (16,) if runlocal else (64, 32)
  c.towers.tower = (8,) if runlocal else (16,)
  c.towers.dropout_rate = 0.2

  c.objective = ml_collections.ConfigDict()
  # Factor of the general tower's loss.
  c.objective.general_weight = 0.5

  evals_config(c, every=10 if runlocal else 100)
  return c

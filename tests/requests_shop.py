"""A small shop of requests, and a config that trains on it in seconds."""

from pathlib import Path
from typing import Any

from behavior_lm.synthetic.requests import RequestConfig
from behavior_lm.synthetic.requests import write_requests
from configs.ranking import get_config

SHOP = RequestConfig(num_users=12, num_items=15, requests=6, candidates=3)


def shop_config(folder: Path, history: str = "average", **changes: Any) -> Any:
  """`changes` are dotted keys with "__" for the dot."""
  if not (folder / "train.parquet").exists():
    write_requests(folder, SHOP)
  config = get_config(f"history={history},runlocal=1")
  config.data.path = str(folder)
  config.data.num_actions = 6
  config.data.batch_size = 16
  config.data.eval_batch_size = 32
  config.model.embed_dim = 4
  config.model.mlp_dims = "4"
  config.model.cross_layers = 1
  config.model.history_options.transact.mlp_dim = 4
  config.model.history_options.transact.num_first = 2
  config.epochs = 1
  config.log_every = 5
  for key, value in changes.items():
    place = config
    *parents, last = key.split("__")
    for parent in parents:
      place = place[parent]
    with place.ignore_type():
      place[last] = value
  return config

"""A language model for behaviour: user logs in, vectors out.

What a program needs of it, loaded when first used:

  behavior_lm.Embedder        vectors from a run folder
  behavior_lm.FineTuned       labels from the folder of a fine-tuned run
  behavior_lm.open_dataset    what experiments/prepare.py wrote
  behavior_lm.load_tokenizer  the tokenizer of a run folder
"""

import importlib
from typing import Any, TYPE_CHECKING

if TYPE_CHECKING:
  from behavior_lm.data.tokenizers import load_tokenizer
  from behavior_lm.downstream.finetune import FineTuned
  from behavior_lm.inference.embedder import Embedder
  from behavior_lm.logs.dataset import open_dataset

__all__ = ["Embedder", "FineTuned", "load_tokenizer", "open_dataset"]

# name -> the module that holds it. `import behavior_lm` alone stays instant.
_HOMES = {
    "Embedder": "behavior_lm.inference.embedder",
    "FineTuned": "behavior_lm.downstream.finetune",
    "load_tokenizer": "behavior_lm.data.tokenizers",
    "open_dataset": "behavior_lm.logs.dataset",
}


def __getattr__(name: str) -> Any:
  if name in _HOMES:
    value = getattr(importlib.import_module(_HOMES[name]), name)
  elif name == "__version__":
    value = importlib.import_module("importlib.metadata").version("behavior_lm")
  else:
    raise AttributeError(f"module 'behavior_lm' has no attribute {name!r}")
  globals()[name] = value
  return value


def __dir__() -> list[str]:
  return sorted({*globals(), *_HOMES, "__version__"})

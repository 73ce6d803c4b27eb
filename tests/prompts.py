"""A tiny language model and domains, for the tests of what reads prompts."""

from pathlib import Path

from flax import nnx

from behavior_lm.data.text.wordpiece import fit_words
from behavior_lm.interop.huggingface import write_huggingface
from behavior_lm.interop.language_models import import_language_model
from behavior_lm.models.encoders import ENCODERS
from behavior_lm.models.language_model import LanguageModel
from configs import domains
from configs import prompts

TEXTS = ["beauty music item nothing others said user good bad red thing stars"]
SOURCES = {"beauty": "synthetic:60:0", "music": "synthetic:60:1"}


def language_folder(folder: Path) -> Path:
  """What transformers would write, with vocab.txt."""
  tokenizer = fit_words(TEXTS, 20)
  config = ENCODERS["bert"][1](
      vocab_size=tokenizer.vocab_size, num_layers=1, embed_dim=8, num_heads=2,
      mlp_dim=16, max_length=32, time_encoding="none", num_token_types=2,
      dropout_rate=0.1,
  )  # fmt: skip
  model = LanguageModel("bert", config, rngs=nnx.Rngs(0))
  write_huggingface(folder, model, head=False)
  tokenizer.save(folder)
  return folder


def language_run(folder: Path) -> Path:
  """A run folder of such a model."""
  source = language_folder(folder / "huggingface")
  import_language_model(source, folder / "language")
  return folder / "language"


def prompts_config(run: Path | str = "", mode: str = "lora", **changes):
  """`changes` are dotted keys with "__" for the dot."""
  config = prompts.get_config(f"run={run},mode={mode},runlocal=1")
  config.data.batch_size = 2
  config.model.num_layers = 1
  return _changed(config, changes)


def domains_config(run: Path | str = "", structure: str = "cgc", **changes):
  """`changes` are dotted keys with "__" for the dot."""
  config = domains.get_config(
      f"language={run},structure={structure},runlocal=1"
  )
  config.data.batch_size = 8
  return _changed(config, changes)


def _changed(config, changes):
  config.prompts.sources.update(SOURCES)
  config.total_steps = 2
  config.log_every = 1
  config.evals.valid.every = config.evals.test.every = 0
  config.keep_best.metric = ""
  for key, value in changes.items():
    place = config
    *parents, last = key.split("__")
    for parent in parents:
      place = place[parent]
    with place.ignore_type():
      place[last] = value
  return config

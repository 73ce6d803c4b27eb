"""transformers' BERT, ALBERT and Longformer, as judges of ours.

  .venv-peers/bin/python peers/encoder_outputs.py create FOLDER CONFIG SEED
  .venv-peers/bin/python peers/encoder_outputs.py run FOLDER IN OUT [DTYPE]
  .venv-peers/bin/python peers/encoder_outputs.py resave FOLDER OUT [SIZE]
  .venv-peers/bin/python peers/encoder_outputs.py versions

`create` saves a model of random weights: CONFIG is JSON with `model_type` and
`architectures`. `run` computes: IN is a safetensors file with CASE.tokens and
CASE.mask, each [batch, length]; OUT gets CASE.hidden and, of a model with a
masked-token head, CASE.logits, in float32. A Longformer's first token is
global. `resave` loads a folder and saves it again, in files of SIZE at most.
The last line printed says what did not fit while loading. Runs in the
environment of `make peers`.
"""

import json
import sys

from safetensors.torch import load_file
from safetensors.torch import save_file
import torch
import transformers


def create(folder, config, seed):
  """Random weights; norms and biases too, which are born as ones and zeros."""
  values = json.loads(config)
  config = transformers.AutoConfig.for_model(**values)
  model = getattr(transformers, values["architectures"][0])(config)
  generator = torch.Generator().manual_seed(int(seed))
  with torch.no_grad():
    for name, value in model.named_parameters():
      noise = torch.randn(value.shape, generator=generator)
      # Kernels that keep the scale of what they multiply.
      scale = value.shape[-1] ** -0.5 if value.dim() > 1 else 0.2
      shift = float("norm" in name.lower() and name.endswith("weight"))
      value.copy_(shift + scale * noise)
  model.save_pretrained(folder)
  return {}


def load(folder):
  """The model of a folder, and what of it did not fit."""
  config = transformers.AutoConfig.from_pretrained(folder)
  name = config.architectures[0]
  options = {} if name.endswith("ForMaskedLM") else {"add_pooling_layer": False}
  model, info = getattr(transformers, name).from_pretrained(
      folder, output_loading_info=True, **options
  )
  said = {key: sorted(map(str, info[key])) for key in info}
  return model.eval(), said


def run(folder, inputs, out, dtype="float32"):
  """Hidden states and logits of each case."""
  model, said = load(folder)
  model = model.to(getattr(torch, dtype))
  cases = load_file(inputs)
  results = {}
  for case in sorted({name.rsplit(".", 1)[0] for name in cases}):
    tokens, mask = cases[f"{case}.tokens"], cases[f"{case}.mask"]
    options = {}
    if model.config.model_type == "longformer":
      first = torch.zeros_like(mask)
      first[:, 0] = 1
      options["global_attention_mask"] = first
    with torch.no_grad():
      found = model(
          input_ids=tokens,
          attention_mask=mask,
          output_hidden_states=True,
          **options,
      )
    if "logits" in found:
      results[f"{case}.logits"] = found.logits.float().contiguous()
      hidden = found.hidden_states[-1]
    else:
      hidden = found.last_hidden_state
    # Longformer returns what it padded to multiples of its window.
    hidden = hidden[:, : tokens.shape[1]].float().contiguous()
    results[f"{case}.hidden"] = hidden
  save_file(results, out)
  return said


def resave(folder, out, size="5GB"):
  """Through transformers and back to disk."""
  model, said = load(folder)
  model.save_pretrained(out, max_shard_size=size)
  return said


def versions():
  """Of what computes here."""
  return {m.__name__: m.__version__ for m in (torch, transformers)}


if __name__ == "__main__":
  torch.set_num_threads(2)
  transformers.logging.set_verbosity_error()
  commands = {f.__name__: f for f in (create, run, resave, versions)}
  print(json.dumps(commands[sys.argv[1]](*sys.argv[2:])))

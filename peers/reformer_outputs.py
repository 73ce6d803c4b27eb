"""What transformers' Reformer makes of random weights and tokens.

  .venv-peers/bin/python peers/reformer_outputs.py CASES.json OUT_FOLDER

CASES.json: {name: {"length", "real", and settings of its ReformerConfig}}; of
`length` tokens the first `real` are no padding. Writes NAME.safetensors with
the weights under their own names, the inputs, the rotations of each hashing
layer in turn (`rotations.0`, ...; it draws them anew in every call, so they are
caught on their way), and `last_hidden_state`.
"""

import json
from pathlib import Path
import sys

from safetensors.torch import save_file
import torch
from transformers import ReformerConfig
from transformers import ReformerModel


def run(case: dict, seed: int) -> dict[str, torch.Tensor]:
  """Weights, inputs and outputs of one case."""
  length, real = case.pop("length"), case.pop("real")
  torch.manual_seed(seed)
  config = ReformerConfig(
      axial_pos_embds=False, hash_seed=None, use_cache=False, **case
  )
  model = ReformerModel(config).eval()
  with torch.no_grad():
    for weight in model.parameters():
      # Its own initialiser is so narrow that attention is flat.
      fan_in = weight.shape[-1] if weight.ndim > 1 else 25
      weight.add_(torch.randn_like(weight) * fan_in**-0.5)
  tokens = torch.randint(1, config.vocab_size, (2, length))
  mask = torch.ones((2, length), dtype=torch.int64)
  mask[1, real:] = 0

  rotations = []
  draw = torch.randn

  def caught(*args: object, **options: object) -> torch.Tensor:
    rotations.append(draw(*args, **options))
    return rotations[-1]

  torch.randn = caught
  with torch.no_grad():
    out = model(tokens, attention_mask=mask).last_hidden_state
  torch.randn = draw
  return {
      **model.state_dict(),
      **{f"rotations.{i}": x for i, x in enumerate(rotations)},
      "tokens": tokens,
      "mask": mask,
      "last_hidden_state": out,
  }


def main() -> None:
  """Runs all cases."""
  cases = json.loads(Path(sys.argv[1]).read_text())
  for seed, (name, case) in enumerate(cases.items()):
    arrays = {k: v.contiguous().clone() for k, v in run(case, seed).items()}
    save_file(arrays, str(Path(sys.argv[2]) / f"{name}.safetensors"))


if __name__ == "__main__":
  main()

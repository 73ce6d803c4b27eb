"""torch's transformer encoder and a plain DCN v2, as judges of the ranker.

  .venv-peers/bin/python peers/ranker_outputs.py encoder IN OUT
  .venv-peers/bin/python peers/ranker_outputs.py cross IN OUT

IN is a safetensors file. `encoder`: tokens [batch, length, width] and there
[batch, length] of 0 and 1 go through torch.nn.TransformerEncoderLayers with
norms behind and ReLU; LAYER.NAME are weights by the names of our layers, and
OUT gets hidden. `cross`: x goes through LAYER.kernel and LAYER.bias.
Runs in the environment of `make peers`.
"""

import sys

from safetensors.torch import load_file
from safetensors.torch import save_file
import torch


def own(arrays, number, name):
  """The weight of one layer."""
  return arrays[f"{number}.{name}"]


def encoder(arrays):
  """Post-norm layers of torch with our weights."""
  x, there = arrays["tokens"], arrays["there"] > 0
  number = 0
  while f"{number}.qkv/kernel" in arrays:
    take = lambda name, at=number: own(arrays, at, name)
    layer = torch.nn.TransformerEncoderLayer(
        x.shape[-1],
        int(arrays["num_heads"]),
        take("mlp_in/kernel").shape[1],
        dropout=0.0,
        batch_first=True,
    ).eval()
    with torch.no_grad():
      attention = layer.self_attn
      attention.in_proj_weight.copy_(take("qkv/kernel").T)
      attention.in_proj_bias.copy_(take("qkv/bias"))
      attention.out_proj.weight.copy_(take("out/kernel").T)
      attention.out_proj.bias.copy_(take("out/bias"))
      layer.linear1.weight.copy_(take("mlp_in/kernel").T)
      layer.linear1.bias.copy_(take("mlp_in/bias"))
      layer.linear2.weight.copy_(take("mlp_out/kernel").T)
      layer.linear2.bias.copy_(take("mlp_out/bias"))
      layer.norm1.weight.copy_(take("attention_norm/scale"))
      layer.norm1.bias.copy_(take("attention_norm/bias"))
      layer.norm2.weight.copy_(take("mlp_norm/scale"))
      layer.norm2.bias.copy_(take("mlp_norm/bias"))
      # Training mode without dropout: the plain path, not the fused one.
      x = layer.train()(x, src_key_padding_mask=~there)
    number += 1
  return {"hidden": x}


def cross(arrays):
  """x_{l+1} = x_0 * (W x_l + b) + x_l by torch.nn.functional.linear."""
  first = x = arrays["x"]
  number = 0
  while f"{number}.kernel" in arrays:
    weight, bias = own(arrays, number, "kernel"), own(arrays, number, "bias")
    x = first * torch.nn.functional.linear(x, weight.T, bias) + x
    number += 1
  return {"x": x}


if __name__ == "__main__":
  what, given, out = sys.argv[1:]
  with torch.no_grad():
    found = {"encoder": encoder, "cross": cross}[what](load_file(given))
  save_file({name: x.contiguous() for name, x in found.items()}, out)

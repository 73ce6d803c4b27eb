"""peft's adapters and deepctr_torch's experts, as judges of ours.

  .venv-peers/bin/python peers/domain_outputs.py adapters FOLDER IN OUT
  .venv-peers/bin/python peers/domain_outputs.py experts IN OUT

`adapters` loads a BERT and gives it LoRA on query and value, then prefixes:
IN is a safetensors file with tokens and mask [batch, length], lora.LAYER.PART.a
[rank, inputs] and .b [outputs, rank], alpha, and prefix.keys and prefix.values
[layers, length, heads, head_dim]. OUT gets plain, lora, merged and prefix, the
last states. `experts` computes MMoE (mmoe.*) and PLE (ple.LEVEL.*): kernels
[in, out] and biases, by the names that the tests give them. Runs in the
environment of `make peers`.
"""

import sys

from safetensors.torch import load_file
from safetensors.torch import save_file
import torch


def adapters(folder, inputs, out):
  """Last states of a BERT with each adapter."""
  import peft
  import transformers

  case = load_file(inputs)
  load = lambda: transformers.BertModel.from_pretrained(
      folder, add_pooling_layer=False, attn_implementation="eager"
  ).eval()
  read = {"input_ids": case["tokens"], "attention_mask": case["mask"]}
  states = lambda model: model(**read).last_hidden_state.contiguous()
  found = {"plain": states(load())}

  rank = len(case["lora.0.query.a"])
  model = peft.get_peft_model(
      load(),
      peft.LoraConfig(
          r=rank,
          lora_alpha=float(case["alpha"]),
          target_modules=["query", "value"],
      ),
  ).eval()
  for number, layer in enumerate(model.base_model.model.encoder.layer):
    for part in ("query", "value"):
      made = getattr(layer.attention.self, part)
      for name in ("a", "b"):
        weight = getattr(made, f"lora_{name.upper()}")["default"].weight
        weight.copy_(case[f"lora.{number}.{part}.{name}"])
  found["lora"] = states(model)
  found["merged"] = states(model.merge_and_unload())

  keys, values = case["prefix.keys"], case["prefix.values"]
  model = peft.get_peft_model(
      load(),
      peft.PrefixTuningConfig(
          task_type="FEATURE_EXTRACTION", num_virtual_tokens=keys.shape[1]
      ),
  ).eval()
  both = torch.stack([keys, values], 1).permute(2, 0, 1, 3, 4)
  table = model.prompt_encoder["default"].embedding.weight
  table.copy_(both.reshape(table.shape))
  found["prefix"] = states(model)
  save_file(found, out)


def experts(inputs, out):
  """What towers read of MMoE and PLE."""
  from deepctr_torch.inputs import DenseFeat
  from deepctr_torch.models import MMOE
  from deepctr_torch.models import PLE

  case = load_file(inputs)
  x = case["x"]
  columns = [DenseFeat(f"x{n}", 1) for n in range(x.shape[1])]
  hidden = [len(case[f"mmoe.bias.{n}"][0]) for n in range(2)]
  tasks = len(case["mmoe.gates"])
  shared = dict(
      expert_dnn_hidden_units=hidden,
      gate_dnn_hidden_units=(),
      tower_dnn_hidden_units=(),
      task_types=["binary"] * tasks,
      task_names=[f"t{n}" for n in range(tasks)],
  )
  model = MMOE(columns, num_experts=len(case["mmoe.bias.0"]), **shared)
  for number, expert in enumerate(model.expert_dnn):
    _set_network(expert, case, "mmoe", number)
  for gate, kernel in zip(
      model.gate_dnn_final_layer, case["mmoe.gates"], strict=True
  ):
    gate.weight.copy_(kernel.T)
  found = {"mmoe": _mixtures(model, x)}

  levels = 1 + max(int(n.split(".")[1]) for n in case if n.startswith("ple."))
  own = len(case["ple.0.own.bias.0"]) // tasks
  model = PLE(
      columns,
      shared_expert_num=own,
      specific_expert_num=own,
      num_levels=levels,
      **shared,
  )
  for level in range(levels):
    at = f"ple.{level}"
    for task in range(tasks):
      for number, expert in enumerate(model.specific_experts[level][task]):
        _set_network(expert, case, f"{at}.own", task * own + number)
      gate = model.specific_gate_dnn_final_layer[level][task]
      gate.weight.copy_(case[f"{at}.gates"][task].T)
    for number, expert in enumerate(model.shared_experts[level][0]):
      _set_network(expert, case, f"{at}.shared", number)
    if f"{at}.shared_gate" in case:
      gate = model.shared_gate_dnn_final_layer[level]
      gate.weight.copy_(case[f"{at}.shared_gate"][0].T)
  found["ple"] = _mixtures(model, x)
  save_file(found, out)


def _set_network(network, case, name, number):
  for layer, linear in enumerate(network.linears):
    linear.weight.copy_(case[f"{name}.kernel.{layer}"][number].T)
    linear.bias.copy_(case[f"{name}.bias.{layer}"][number])


def _mixtures(model, x):
  """[batch, tasks, hidden]: what the last layers of the towers are given."""
  given = []
  for layer in model.tower_dnn_final_layer:
    layer.register_forward_pre_hook(lambda _, read: given.append(read[0]))
  model.eval()(x)
  return torch.stack(given, 1).contiguous()


if __name__ == "__main__":
  with torch.no_grad():
    {"adapters": adapters, "experts": experts}[sys.argv[1]](*sys.argv[2:])

"""The encoders of transformers at work, one step whenever it is asked.

Reads one JSON object a line and answers with one: experiments/benchmark.py
train, forward and serve talk to it. It works only between a question and its
answer, so that what it is compared with has the machine to itself meanwhile.
Runs in the environment of `make peers`.

  {"do": "setup", "case": {...}} -> {"num_params", "heads", "versions", ...}
  {"do": "step", "head": "all"} -> {"seconds", "loss"}
  {"do": "gemm", "shape": [m, k, n], "dtype": "float32"} -> {"seconds"}
"""

import contextlib
import json
import os
import sys
import time
import traceback

import torch
import transformers

IGNORED = -100  # a label that transformers leaves out of the loss


def make_model(case):
  """The model of a case, at the sizes that ours has."""
  own = case["own"]
  common = {"vocab_size": case["vocab_size"], "pad_token_id": 0}
  common["max_position_embeddings"] = case["length"]
  if case["model"] == "reformer":
    kinds = ["local", "lsh"]
    return transformers.ReformerForMaskedLM(transformers.ReformerConfig(
        **common,
        attn_layers=[kinds[i % len(kinds)] for i in range(case["num_layers"])],
        hidden_size=case["embed_dim"],
        num_attention_heads=case["num_heads"],
        attention_head_size=case["embed_dim"] // case["num_heads"],
        feed_forward_size=case["mlp_dim"],
        hidden_act="gelu",
        axial_pos_embds=False,
        hidden_dropout_prob=0.0,
        local_attention_probs_dropout_prob=0.0,
        lsh_attention_probs_dropout_prob=0.0,
        local_attn_chunk_length=own["chunk_size"],
        lsh_attn_chunk_length=own["chunk_size"],
        local_num_chunks_before=1,
        num_hashes=own["num_hashes"],
        is_decoder=False,
    ))
  common |= {
      "hidden_size": case["embed_dim"],
      "num_hidden_layers": case["num_layers"],
      "num_attention_heads": case["num_heads"],
      "intermediate_size": case["mlp_dim"],
  }
  if case["model"] == "modern":
    return transformers.ModernBertForMaskedLM(transformers.ModernBertConfig(
        **common,
        local_attention=2 * own["window_size"],
        global_attn_every_n_layers=own["global_every"],
        cls_token_id=case["cls_token"],
        bos_token_id=case["cls_token"],
        eos_token_id=case["sep_token"],
        sep_token_id=case["sep_token"],
        attn_implementation="sdpa",
    ))
  common |= {
      "type_vocab_size": 2,
      "hidden_act": "gelu",
      "hidden_dropout_prob": 0.0,
      "attention_probs_dropout_prob": 0.0,
  }
  if case["model"] == "longformer":
    # Its window counts both sides.
    return transformers.LongformerForMaskedLM(
        transformers.LongformerConfig(
            **common,
            attention_window=2 * own["window_size"],
            sep_token_id=case["sep_token"],
            bos_token_id=case["cls_token"],
            eos_token_id=case["sep_token"],
        )
    )
  common["attn_implementation"] = "sdpa"
  if case["model"] == "albert":
    return transformers.AlbertForMaskedLM(transformers.AlbertConfig(
        **common, embedding_size=own["embedding_dim"],
    ))
  if case["model"] == "bert":
    return transformers.BertForMaskedLM(transformers.BertConfig(**common))
  raise ValueError(f"no model {case['model']!r} here")


def make_batch(case):
  """Full rows of random tokens, a share of them masked, as arguments."""
  shape = (case["batch_size"], case["length"])
  random = torch.Generator().manual_seed(0)
  tokens = torch.randint(
      case["first_token"], case["vocab_size"], shape, generator=random
  )
  tokens[:, 0] = case["cls_token"]
  chosen = torch.rand(shape, generator=random)
  chosen[:, 0] = 2.0
  count = round(case["mask_rate"] * (case["length"] - 1))
  at = chosen.argsort(1)[:, :count]
  labels = torch.full(shape, IGNORED)
  labels.scatter_(1, at, tokens.gather(1, at))
  batch = {"input_ids": tokens.scatter(1, at, case["mask_token"])}
  if case["mode"] == "train":
    batch["labels"] = labels
  if case["model"] == "longformer":
    batch["global_attention_mask"] = torch.zeros(shape, dtype=torch.long)
    batch["global_attention_mask"][:, 0] = 1
    # Its own positions begin behind the id of the padding.
    batch["position_ids"] = torch.arange(shape[1]).expand(shape)
  return batch


def has_sparse_head(case, model):
  """Whether it can predict at masked positions alone, as ours does."""
  return case["mode"] == "train" and hasattr(model, "sparse_prediction")


def make_step(case, model, batch):
  """A function that trains once, or runs forward once, and gives the loss.

  It takes the positions where the head predicts, "all" or "masked". For the
  mode "embed" it makes the mean of the last states, and no logits.
  """
  cast = (
      torch.autocast("cpu", dtype=torch.bfloat16)
      if case["dtype"] == "bfloat16"
      else contextlib.nullcontext()
  )

  def forward(head):
    del head
    with torch.inference_mode(), cast:
      return model(**batch).logits[0, 0, 0].item()

  def embed(head):
    del head
    with torch.inference_mode(), cast:
      states = model.base_model(**batch).last_hidden_state
    return states.float().mean(1).numpy()[0, 0].item()

  if case["mode"] != "train":
    model.eval()
    return forward if case["mode"] == "forward" else embed
  model.train()
  optimizer = torch.optim.AdamW(
      model.parameters(),
      lr=1e-3,
      betas=(0.9, 0.98),
      weight_decay=0.01,
      fused=True,
  )

  def train(head):
    if has_sparse_head(case, model):
      model.sparse_prediction = head == "masked"
    optimizer.zero_grad(set_to_none=True)
    with cast:
      loss = model(**batch).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.item()

  return train


def gemm_seconds(shape, dtype):
  """Seconds of one plain product, the best of five."""
  rows, inner, columns = shape
  left = torch.randn(rows, inner).to(getattr(torch, dtype))
  right = torch.randn(inner, columns).to(getattr(torch, dtype))
  times = []
  for _ in range(5):
    started = time.perf_counter()
    left @ right
    times.append(time.perf_counter() - started)
  return min(times)


def setup(case):
  """(what is told of the model, its step)."""
  torch.set_num_threads(case["threads"])
  torch.manual_seed(0)
  model = make_model(case)
  told = {
      "num_params": sum(p.numel() for p in model.parameters()),
      "heads": ["all"] + ["masked"] * has_sparse_head(case, model),
      "attention": getattr(model.config, "_attn_implementation", None),
      "threads": torch.get_num_threads(),
      "versions": {
          "python": sys.version.split()[0],
          "torch": torch.__version__,
          "transformers": transformers.__version__,
      },
  }
  return told, make_step(case, model, make_batch(case))


def answer(question, step):
  """(answer, step from now on)."""
  do = question["do"]
  if do == "setup":
    return setup(question["case"])
  if do == "step":
    started = time.perf_counter()
    loss = step(question["head"])
    return {"seconds": time.perf_counter() - started, "loss": loss}, step
  if do == "gemm":
    return {"seconds": gemm_seconds(question["shape"], question["dtype"])}, step
  raise ValueError(f"no task {do!r}")


def main():
  """Answers until its input ends."""
  # What libraries print must not come between the answers.
  out = os.fdopen(os.dup(1), "w")
  os.dup2(2, 1)
  transformers.logging.set_verbosity_error()
  step = None
  for line in sys.stdin:
    try:
      told, step = answer(json.loads(line), step)
    except Exception as error:  # pylint: disable=broad-except
      traceback.print_exc()
      told = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(told), file=out, flush=True)


if __name__ == "__main__":
  main()

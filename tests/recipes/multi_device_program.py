r"""Trains a few steps on the devices there are; prints losses and shards.

  python tests/recipes/multi_device_program.py \
      DATASET RUN DATA MODEL STEPS ARCHITECTURE [OBJECTIVE]
"""

import json
import sys

import jax

from behavior_lm.artifacts.metrics import read_metrics
from behavior_lm.attention import chunk_plan
from behavior_lm.attention import tiles
from behavior_lm.objectives import cross_entropy
from behavior_lm.recipes.train import train
from behavior_lm.training import loop
from behavior_lm.training import sharding
from tests.tiny import tiny_config

if __name__ == "__main__":
  dataset, run, data, model, steps, architecture, *objective = sys.argv[1:]
  # Rows as short as these in several pieces, as long ones are.
  tiles.SCORES_AT_ONCE = chunk_plan.SCORES_AT_ONCE = 2048
  cross_entropy.LOGITS_AT_ONCE = 256
  config = tiny_config(
      dataset,
      architecture,
      *objective,
      mesh__data=int(data),
      mesh__model=int(model),
      total_steps=20,
      data__batch_size=8,
      max_minutes=0.0,
      checkpoint_every=int(steps),
  )
  shards = {}
  compile_step = loop.compile_step

  def spy(step, shardings, mesh):
    compiled = compile_step(step, shardings, mesh)
    done = 0

    def stop_after(state, batch):
      nonlocal done
      state, metrics = compiled(state, batch)
      done += 1
      flat = jax.tree_util.tree_flatten_with_path(state)[0]
      for path, leaf in flat:
        name = jax.tree_util.keystr(path)
        shards[name] = [leaf.shape, leaf.sharding.shard_shape(leaf.shape)]
      if done == int(steps):
        config.max_minutes = 1e-9  # saves and leaves
      return state, metrics

    return stop_after

  loop.compile_step = spy
  train(config, run)
  lines = read_metrics(f"{run}/metrics.jsonl")
  print("RESULT", json.dumps({
      "devices": jax.device_count(),
      "losses": {line["step"]: line["loss"] for line in lines},
      "shards": shards,
      "sharding": str(sharding.make_mesh(int(data), int(model)).shape),
  }))

"""How far our models are from their originals: same weights, same inputs.

The originals run in an environment and a process of their own; weights and
arrays cross as safetensors.
"""

from collections.abc import Iterable, Mapping
import json
import os
from pathlib import Path
import subprocess
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load_file
from safetensors.numpy import save_file

from behavior_lm.common.errors import UserError
from behavior_lm.layers.heads import logits
from behavior_lm.models.language_model import LanguageModel
from behavior_lm.training.state import merge_model
from behavior_lm.training.state import split_model

# Tokens and mask of one batch; or hidden states and logits.
Arrays = dict[str, np.ndarray]
SECONDS = 600


def run_peer(python: str | Path, program: str | Path, *args: object) -> Any:
  """Runs a program of peers/; the JSON of its last line, None without one.

  Raises:
    UserError: with its last words, if it failed or took too long.
  """
  environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
  try:
    done = subprocess.run(
        [str(python), str(program), *map(str, args)],
        capture_output=True,
        text=True,
        # All it reads is here; nothing is ever fetched.
        env=environment | {"HF_HUB_OFFLINE": "1"},
        timeout=SECONDS,
    )
  except subprocess.TimeoutExpired:
    raise UserError(
        f"{program} {args[0] if args else ''} took more than {SECONDS} s."
    ) from None
  if done.returncode:
    raise UserError(
        f"{program} {args[0] if args else ''} ended with {done.returncode}:"
        f" {done.stderr.strip()[-2000:]}"
    )
  lines = done.stdout.strip().splitlines()
  return json.loads(lines[-1]) if lines else None


def make_cases(
    lengths: Iterable[int],
    *,
    vocab_size: int,
    pad_id: int,
    seed: int = 0,
    batch_size: int = 3,
) -> dict[str, Arrays]:
  """Random batches, one for each length, named by it.

  The first row of each is full, the others end in padding.

  Returns:
    {name: {"tokens", "mask"}}, each [batch_size, length] int64.
  """
  rng = np.random.default_rng(seed)
  real = [token for token in range(vocab_size) if token != pad_id]
  cases = {}
  for length in lengths:
    sizes = [length, *rng.integers(1, length + 1, batch_size - 1)]
    mask = np.arange(length) < np.asarray(sizes)[:, None]
    tokens = rng.choice(real, (batch_size, length))
    cases[str(length)] = {
        "tokens": np.where(mask, tokens, pad_id).astype(np.int64),
        "mask": mask.astype(np.int64),
    }
  return cases


def their_outputs(
    python: str | Path,
    program: str | Path,
    folder: str | Path,
    cases: Mapping[str, Arrays],
    *,
    scratch: Path,
    dtype: str = "float32",
) -> dict[str, Arrays]:
  """What the original computes, {name: {"hidden" and, with a head, "logits"}}.

  Args:
    python: of the environment with the originals.
    program: peers/encoder_outputs.py, or another of its kind.
    folder: of the model.
    cases: of `make_cases`.
    scratch: a folder for what crosses.
    dtype: of its weights and its computation.

  Raises:
    UserError: if it failed, or if not every weight found its place.
  """
  inputs, out = scratch / "inputs.safetensors", scratch / "out.safetensors"
  save_file(
      {
          f"{case}.{name}": np.ascontiguousarray(array)
          for case, arrays in cases.items()
          for name, array in arrays.items()
      },
      inputs,
  )
  said = run_peer(python, program, "run", folder, inputs, out, dtype)
  misfits = {kind: names for kind, names in said.items() if names}
  # A pooler is for other tasks.
  if set(misfits) - {"unexpected_keys"} or any(
      "pooler" not in name for names in misfits.values() for name in names
  ):
    raise UserError(f"{folder}: transformers found misfits: {misfits}.")
  found: dict[str, Arrays] = {case: {} for case in cases}
  for key, array in load_file(out).items():
    case, name = key.rsplit(".", 1)
    found[case][name] = array
  return found


def our_outputs(
    model: LanguageModel, cases: Mapping[str, Arrays]
) -> dict[str, Arrays]:
  """What our model computes, {name: {"hidden", "logits"}}, float32."""
  graphdef, *variables = split_model(model)

  @jax.jit
  def run(variables: Any, batch: dict[str, jax.Array]) -> Any:
    model = merge_model(graphdef, *variables)
    length = batch["tokens"].shape[1]
    everywhere = jnp.broadcast_to(jnp.arange(length), batch["tokens"].shape)
    # States as an embedder gets them, logits as training does.
    head = model(batch, everywhere)
    hidden = model.encoder.encode(batch)
    return {"hidden": hidden, "logits": logits(head)}

  return {
      case: {
          name: np.asarray(array, np.float32)
          for name, array in run(variables, _batch(arrays)).items()
      }
      for case, arrays in cases.items()
  }


def _batch(arrays: Arrays) -> dict[str, jax.Array]:
  """One sequence a row, without time."""
  mask = arrays["mask"]
  fields = {
      "tokens": arrays["tokens"],
      "positions": np.arange(mask.shape[1]) * mask,
      "segment_ids": mask,
      "time_gaps": np.full(mask.shape, -1),
  }
  return {k: jnp.asarray(v, jnp.int32) for k, v in fields.items()}


def largest_differences(
    cases: Mapping[str, Arrays],
    ours: Mapping[str, Arrays],
    theirs: Mapping[str, Arrays],
) -> dict[str, dict[str, float]]:
  """Largest absolute differences at real tokens, {case: {output: value}}.

  What a model makes of padding has no meaning, there or here. Of outputs those
  that transformers gave; ours has them all.
  """
  found: dict[str, dict[str, float]] = {}
  for case, arrays in cases.items():
    real = arrays["mask"].astype(bool)
    found[case] = {
        name: float(
            np.abs(ours[case][name][real] - theirs[case][name][real]).max()
        )
        for name in sorted(theirs[case])
    }
  return found

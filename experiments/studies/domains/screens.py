"""Sizes, intervals, and the screen of poolings over a frozen language model."""

import functools
from pathlib import Path
import time
from typing import Any, TYPE_CHECKING

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from behavior_lm.artifacts.run_folder import load_run_config
from behavior_lm.common.progress import CommandProgress
from behavior_lm.data.prompts.prompt_rows import encode_prompts
from behavior_lm.data.samples.sample_columns import BINARY
from behavior_lm.evaluation import classification
from behavior_lm.layers.pooling import POOLINGS
from behavior_lm.models.label_model import LabelHead
from behavior_lm.recipes.domain_run import DomainPredictions
from behavior_lm.recipes.shared.language import load_prompt_model
from behavior_lm.training.checkpoint import Checkpoints
from behavior_lm.training.loop import CHECKPOINTS
from behavior_lm.training.state import count_params
from behavior_lm.training.state import merge_model

if TYPE_CHECKING:
  from behavior_lm.recipes.shared.domain_data import DomainData
  from experiments.studies.domains.domain_study import Study

POOLED: dict[str, tuple[str, dict[str, Any]]] = {
    "mean": ("mean", {}),
    "cls": ("cls", {}),
    "Gaussian": ("gaussian", {}),
    "Gaussian, one w": ("gaussian", {"weight": "scalar"}),
    "Gaussian, w per coordinate": ("gaussian", {"weight": "vector"}),
    "learned query": ("query", {}),
}
# Tokens of a prompt in the screen of poolings, padded to a multiple of these.
_SCREEN_LENGTH, _BUCKET = 64, 16
_SCREEN_STEPS, _SCREEN_BATCH = 100, 128
_NUM_RESAMPLES = 500


def adaptation_size(folder: Path) -> dict[str, float]:
  """What a run trains, and what its checkpoint of a model weighs."""
  saved = Checkpoints(folder / CHECKPOINTS, keep=None)
  try:
    params = saved.restore_anything()
  finally:
    saved.close()
  config = load_run_config(folder)
  whole = count_params(params)
  encoder = count_params(params.get("encoder", {}))
  steps = (path.name for path in (folder / CHECKPOINTS).iterdir())
  step = max(int(name) for name in steps if name.isdigit())
  size = sum(
      path.stat().st_size
      for path in (folder / CHECKPOINTS / str(step) / "model").rglob("*")
      if path.is_file()
  )
  return {
      "trained_parameters": whole,
      "trained_in_encoder": 0 if config.adapt.mode == "head" else encoder,
      "checkpoint_kilobytes": round(size / 1024, 1),
  }


def auc_intervals(found: DomainPredictions) -> dict[str, list[float]]:
  """95 % intervals of AUC by a bootstrap over users, per domain."""
  intervals = {}
  for name in sorted(set(found.domains.tolist())):
    rows = found.domains == name
    _, users = np.unique(found.users[rows], return_inverse=True)
    draws = classification.measure(
        classification.Predictions(
            kind=BINARY,
            labels=found.labels[rows],
            scores=found.scores[None, rows],
            decisions=found.scores[None, rows] > 0.5,
            folds=np.zeros((1, rows.sum()), int),
            users=users,
        ),
        num_resamples=_NUM_RESAMPLES,
    )
    intervals[name] = classification.estimate(draws["auc"]).interval
  return intervals


def pooling_rows(study: "Study", data: "DomainData") -> list[dict[str, Any]]:
  """Linear heads on poolings of a frozen model's states, one pass each."""
  from experiments.studies.domains.domain_study import summary

  def compute() -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    some = lambda rows, size: np.sort(
        rng.choice(rows, min(size, len(rows)), replace=False)
    )
    train = some(data.rows["train"], study.screen_rows)
    test = some(data.rows["test"], study.screen_test_rows)
    states = _read_states(study, data, np.concatenate([train, test]))
    inside = lambda part: jax.tree.map(lambda x: x[part], states)
    frame = data.frame[test]
    found = []
    for label, (name, options) in POOLED.items():
      started = time.process_time()
      make = functools.partial(_Pooled, name, options, states[0].shape[-1])
      scores = _fit(
          make,
          inside(slice(0, len(train))),
          data.labels[train, 0],
          inside(slice(len(train), None)),
      )
      row = {
          "kind": "pooling of a frozen language model",
          "model": label,
          "language": "MiniLM",
          "cpu_seconds": round(time.process_time() - started, 1),
      }
      one = DomainPredictions(
          frame["domain"].to_numpy(),
          frame["user_id"].to_numpy(),
          frame["label"].to_numpy(),
          scores,
      )
      found.append(row | summary([one]))
    return found

  return study.kept("poolings", compute)


class _Pooled(nnx.Module):
  """A pooling and a linear head."""

  def __init__(self, name: str, options: Any, width: int, *, rngs: nnx.Rngs):
    make: Any = POOLINGS[name]
    self.pooling = make(width, rngs=rngs, **options)
    self.head = LabelHead(width, 1, rngs=rngs)

  def __call__(self, states: jax.Array, lengths: jax.Array) -> jax.Array:
    """[batch, length, width], [batch] -> logits [batch]."""
    place = jnp.arange(states.shape[1])[None]
    ids = (place < lengths[:, None]).astype(jnp.int32)
    vectors = self.pooling(states, ids, ids * place, 1)
    return self.head(vectors, deterministic=True, rngs=None)[:, 0, 0]


def _fit(make: Any, train: Any, labels: np.ndarray, test: Any) -> np.ndarray:
  """Adam over fixed states -> probabilities of the test rows."""
  graphdef, params = nnx.split(make(rngs=nnx.Rngs(0)))
  optimizer = optax.adam(3e-3)

  @jax.jit
  def step(params: Any, moments: Any, states: Any, known: Any) -> Any:
    def loss(params: Any) -> jax.Array:
      logits = nnx.merge(graphdef, params)(*states)
      return (jax.nn.softplus(logits) - known * logits).mean()

    updates, moments = optimizer.update(jax.grad(loss)(params), moments)
    return optax.apply_updates(params, updates), moments

  predict = jax.jit(
      lambda params, *states: jax.nn.sigmoid(
          nnx.merge(graphdef, params)(*states)
      )
  )
  moments, rng = optimizer.init(params), np.random.default_rng(0)
  size = min(_SCREEN_BATCH, len(labels))
  for _ in range(_SCREEN_STEPS):
    rows = rng.choice(len(labels), size, replace=False)
    batch = tuple(x[rows].astype(x.dtype) for x in train)
    params, moments = step(params, moments, batch, labels[rows])
  found = [
      predict(params, *(x[first : first + size] for x in test))
      for first in range(0, len(test[1]), size)
  ]
  return np.concatenate(found)


def _read_states(
    study: "Study", data: "DomainData", rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """States [n, length, width] float16 and lengths [n] of some prompts."""
  model = load_prompt_model(study.language, dtype=study.dtype)
  tokens = encode_prompts(
      [data.prompts[row] for row in rows], model.tokenizer, _SCREEN_LENGTH
  )
  lengths = np.array([len(one) for one in tokens], np.int32)
  padded = np.zeros((len(tokens), _SCREEN_LENGTH), np.int32)
  for row, one in zip(padded, tokens, strict=True):
    row[: len(one)] = one

  @jax.jit
  def program(params: Any, tokens: Any, lengths: Any) -> jax.Array:
    place = jnp.arange(tokens.shape[1])[None]
    ids = (place < lengths[:, None]).astype(jnp.int32)
    encoder = merge_model(model.graphdef, params, model.model_state).encoder
    batch = {
        "tokens": tokens,
        "segment_ids": ids,
        "positions": ids * place,
        "time_gaps": jnp.zeros_like(tokens),
    }
    return encoder.encode(batch).astype(jnp.float16)

  width, size = model.config.model.embed_dim, 32
  found = np.zeros((*padded.shape, width), np.float16)
  # Prompts of about one length at a time, so that little is padding.
  order = np.argsort(lengths, kind="stable")
  order = np.concatenate([order, order[:1].repeat(-len(order) % size)])
  progress = CommandProgress()
  for first in range(0, len(order), size):
    part = order[first : first + size]
    longest = -(-int(lengths[part].max()) // _BUCKET) * _BUCKET
    found[part, :longest] = program(
        model.params, padded[part, :longest], lengths[part]
    )
    progress.stage("states of prompts", first, len(order))
  progress.close()
  return found, lengths

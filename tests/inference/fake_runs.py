"""Small run folders without training, and a second way to their vectors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from behavior_lm.artifacts.run_folder import create_run
from behavior_lm.data.time_gaps import time_gaps
from behavior_lm.data.tokenizers.pair import PairTokenizer
from behavior_lm.inference.batching import window_cuts
from behavior_lm.recipes.pretrain import make_objective
from behavior_lm.recipes.shared import parts
from behavior_lm.training.checkpoint import Checkpoints
from behavior_lm.training.optimizer import optimizer_of
from behavior_lm.training.sharding import make_mesh
from behavior_lm.training.state import init_state
from configs.pretrain import get_config

EVENTS = ["login", "fight", "shop", "logout"]
PAIRS = [("login", "0"), ("shop", "0")]
PAIRS += [("fight", str(i)) for i in range(1, 11)]
PAD, CLS = 0, 3


def make_run(folder, *, max_length=32, steps=(5,), seed=0, **model):
  """A run folder of a new model: config, tokenizer, checkpoints."""
  config = get_config("size=tiny,runlocal=1")
  config.seed = seed
  config.data.max_length = max_length
  sizes = dict(num_layers=2, embed_dim=16, num_heads=2, mlp_dim=32)
  config.model.update(sizes | model)
  tokenizer = PairTokenizer(EVENTS, PAIRS)
  create_run(config, folder, lambda path: tokenizer.save(path / "tokenizer"))
  checkpoints = Checkpoints(folder / "checkpoints", keep=None)
  for step in steps:
    _, state, _ = init_state(
        parts.language_model(config, tokenizer.vocab_size),
        optimizer_of(config)[1],
        make_objective(config, tokenizer.vocab_size),
        seed + step,
        make_mesh(),
    )
    state["step"] = jnp.asarray(step, jnp.int32)
    checkpoints.save(state, {}, {})
  checkpoints.close()
  return folder


def random_sequences(lengths, seed=0, vocab_size=21):
  """Token sequences with ties and heavy-tailed gaps."""
  rng = np.random.default_rng(seed)
  found = []
  for length in lengths:
    gaps = (rng.pareto(1, length) * 3e5).astype(np.int64).clip(0, 10**13)
    found.append({
        "tokens": rng.integers(5, vocab_size, length),
        "timestamp": 1_576_000_000_000_000 + np.cumsum(gaps),
    })
  return found


@functools.cache
def _jitted(embedder, layer):
  def hidden(batch):
    return embedder._run.model.encoder.encode(batch, layer=layer)

  return jax.jit(hidden)


def packed_hidden(embedder, sequence, layer):
  """Hidden states of the windows of a sequence, [1 + events, dim] each.

  All windows are segments of packed rows, which the embedder never makes.
  """
  length, tokens = embedder.max_length, sequence["tokens"]
  times = sequence.get("timestamp")
  gaps = np.full(len(tokens), -1)
  if times is not None:
    gaps = time_gaps(np.asarray(times), embedder.reader.reading.gap_kind)
  rows, places = [], []
  for start, end in window_cuts(len(tokens), length - 1):
    size = end - start + 1
    if not rows or rows[-1]["used"] + size > length:
      rows.append({"used": 0, "segments": 0, **{
          name: np.full(length, fill, np.int32)
          for name, fill in (
              ("tokens", PAD),
              ("positions", 0),
              ("segment_ids", 0),
              ("time_gaps", -1),
          )
      }})
    row = rows[-1]
    at = slice(row["used"], row["used"] + size)
    row["used"] += size
    row["segments"] += 1
    row["tokens"][at] = [CLS, *tokens[start:end]]
    row["positions"][at] = np.arange(size)
    row["segment_ids"][at] = row["segments"]
    row["time_gaps"][at] = [-1, *gaps[start:end]]
    places.append((len(rows) - 1, at))
  # One shape, one compilation.
  rows += [rows[0]] * (128 - len(rows))
  batch = {
      name: jnp.asarray(np.stack([row[name] for row in rows]))
      for name in ("tokens", "positions", "segment_ids", "time_gaps")
  }
  hidden = np.asarray(_jitted(embedder, layer)(batch), np.float64)
  return [hidden[row, at] for row, at in places]


def expected_vector(embedder, sequence, pooling, layer):
  """The documented formula, over all windows at once."""
  windows = packed_hidden(embedder, sequence, layer)
  events = np.concatenate([window[1:] for window in windows])
  counts = [len(window) - 1 for window in windows]
  firsts = [window[0] for window in windows]
  return {
      "mean": lambda: events.mean(0),
      "max": lambda: events.max(0),
      "last": lambda: events[-1],
      "last8": lambda: windows[-1][1:][-8:].mean(0),
      "gaussian": lambda: np.average(
          [near_the_middle(w[1:]) for w in windows], axis=0, weights=counts
      ),
      "cls": lambda: np.average(firsts, axis=0, weights=counts),
  }[pooling]()


def near_the_middle(states):
  """softmax(-|mean - x|^2 / (2 sqrt(d))) over the states of a window."""
  distances = ((states.mean(0) - states) ** 2).sum(1)
  scores = -distances / (2 * np.sqrt(states.shape[1]))
  shares = np.exp(scores - scores.max())
  return shares @ states / shares.sum()

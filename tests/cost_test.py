"""What a training step of a whole model costs by length; nothing runs."""

import functools
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.attention import tiles
from behavior_lm.models.language_model import LanguageModel
from behavior_lm.training.optimizer import make_optimizer
from behavior_lm.training.optimizer import make_schedule
from behavior_lm.training.state import split_model
from behavior_lm.training.step import make_train_step
from experiments.benchmarks.race.encoder_cases import make_case
from experiments.benchmarks.race.encoder_cases import make_objective
from experiments.benchmarks.race.encoder_cases import model_config
from experiments.benchmarks.step.throughput import abstract_model
from experiments.benchmarks.step.throughput import full_rows

pytestmark = pytest.mark.slow

LENGTHS = (1024, 32_768)
# Narrow: attention is what costs.
SIZES = dict(num_layers=2, embed_dim=32, num_heads=2, mlp_dim=64)


def traced_step(model, length, **own):
  """The training step of one row, traced with the shapes of its state."""
  case = make_case(model, length=length, batch_size=1) | SIZES
  case |= {"vocab_size": 64, "own": case["own"] | own}
  make_model = functools.partial(LanguageModel, model, model_config(case))
  graphdef, params, model_state = split_model(abstract_model(make_model))
  schedule = make_schedule(learning_rate=1e-3, total_steps=9)
  optimizer = make_optimizer(schedule)
  objective = make_objective(case)
  state = {
      "params": params,
      "model_state": model_state,
      "opt_state": jax.eval_shape(optimizer.init, params),
      "objective_state": objective.init_state(),
      "step": jax.ShapeDtypeStruct((), jnp.int32),
  }
  step = make_train_step(graphdef, objective, optimizer, schedule, 0)
  batch = full_rows(1, length, case["vocab_size"])
  return jax.jit(step, donate_argnums=0).trace(state, batch)


def flops(model, length, **own):
  """As the compiler counts them in the program for GPU.

  On CPU kernels loop over blocks, and the body of a loop counts once. For TPU
  and CPU a running sum over a row (where its global tokens are) is written as a
  window of the row's length at each token, counted as such, though compiled
  otherwise: with layers as narrow as these that alone would seem quadratic.
  """
  # Beyond 1 GB of scores that program loops as well.
  with mock.patch.object(tiles, "SCORES_AT_ONCE_ELSEWHERE", 2**40):
    traced = traced_step(model, length, **own)
  lowered = traced.lower(lowering_platforms=("cuda",))
  return lowered.cost_analysis()["flops"]


def scratch(model, length, **own):
  """Bytes of temporary memory of the program for this machine."""
  compiled = traced_step(model, length, **own).lower().compile()
  return compiled.memory_analysis().temp_size_in_bytes


def exponent(cost):
  """b of cost = a * length**b: 1 is linear, 2 quadratic."""
  return np.polyfit(np.log(LENGTHS), np.log(cost), 1)[0]


@pytest.mark.parametrize("model", ["longformer", "reformer"])
def test_the_work_is_linear_in_the_length(model):
  # The window reaches over the ends of a short row.
  assert 0.95 < exponent([flops(model, n) for n in LENGTHS]) < 1.08


@pytest.mark.parametrize("model", ["longformer", "reformer"])
def test_the_memory_is_linear_in_the_length(model):
  """Memory per token stays within 10 %.

  From 8k on: layers as narrow as these need less for a shorter row than the
  scores that are in memory at a time.
  """
  short, long = (scratch(model, length) for length in (8192, 32_768))
  assert long / 4 == pytest.approx(short, rel=0.1)


@pytest.mark.parametrize(
    ("reversible", "depths"), [(True, (4, 8)), (False, (2, 4))]
)
def test_reversible_layers_keep_no_states(reversible, depths):
  """With depth grow gradients of parameters and the order of hashed tokens."""
  used = []
  for depth in depths:
    with mock.patch.dict(SIZES, num_layers=depth):
      used.append(scratch("reformer", 4096, reversible=reversible))
  streams = 2 * 4 * 4096 * SIZES["embed_dim"]
  kept = (used[1] - used[0]) / (depths[1] - depths[0]) / streams
  assert kept < 0.25 if reversible else kept > 1


# Every layer of these is alike.
@mock.patch.dict(SIZES, num_layers=1)
@pytest.mark.parametrize("model", ["bert", "modern"])
def test_attention_to_everything_is_quadratic_and_would_fail(model):
  # Nothing grows faster, either.
  assert 1.7 < exponent([flops(model, n) for n in LENGTHS]) < 2.02


def test_memory_of_attention_that_keeps_its_scores_would_fail():
  """What `test_the_memory_is_linear_in_the_length` looks for is seen."""

  def gradient(query):
    attend = lambda x: jax.nn.dot_product_attention(x, x, x).sum()
    return jax.grad(attend)(query)

  used = []
  for length in (4096, 32_768):
    query = jax.ShapeDtypeStruct((1, length, 2, 16), jnp.float32)
    compiled = jax.jit(gradient).lower(query).compile()
    used.append(compiled.memory_analysis().temp_size_in_bytes)
  assert used[1] > 50 * used[0]

"""Training steps of a mixture of experts beside a dense net of equal work."""

from collections.abc import Callable, Sequence
import dataclasses
import statistics
import time
from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from behavior_lm.layers.experts.moe import MoE
from behavior_lm.layers.experts.moe import MoEConfig
from behavior_lm.layers.experts.moe import SharedExpert
from behavior_lm.models.two_tower import LONG
from behavior_lm.models.two_tower import SHORT
from behavior_lm.models.two_tower import TwoTower
from behavior_lm.models.two_tower import TwoTowerConfig
from behavior_lm.objectives.bpr import Bpr
from behavior_lm.training.state import merge_model
from behavior_lm.training.state import split_model

_VOCAB = 10_000
Run = Callable[[], None]


@dataclasses.dataclass(frozen=True)
class Sizes:
  """What is measured.

  Attributes:
    users, long_length, short_length: of a batch; all places hold events.
    embed_dim, num_layers, num_heads, head_dim: of the towers.
    experts: of the mixture; the dense net is as wide as the experts of a token
      together, the shared one included.
  """

  users: int = 32
  long_length: int = 113
  short_length: int = 17
  embed_dim: int = 128
  num_layers: int = 4
  num_heads: int = 8
  head_dim: int = 64
  experts: MoEConfig = dataclasses.field(
      default_factory=lambda: MoEConfig(100, top_k=2, mlp_dim=256)
  )

  @property
  def tokens(self) -> int:
    return self.users * (self.long_length + self.short_length)


TINY = Sizes(4, 9, 5, 16, 1, 2, 8, MoEConfig(4, top_k=2, mlp_dim=16))


class DenseTwoTower(TwoTower):
  """A dense net of the same active operations in the place of the experts."""

  def __init__(
      self, config: TwoTowerConfig, width: int, *, rngs: nnx.Rngs
  ) -> None:
    super().__init__(config, rngs=rngs)
    self.dense = SharedExpert(
        config.embed_dim, width, dtype=jnp.dtype("float32"), rngs=rngs
    )

  def _mix(self, hidden: jax.Array, routed: jax.Array, **_: Any) -> Any:
    del routed
    return hidden + self.dense(hidden), {
        "sequence_loss": jnp.zeros(()),
        "figures": {},
    }


def measure(
    sizes: Sizes, repeats: int, parts: Sequence[str] = ("layer", "model")
) -> dict[str, Any]:
  """Median seconds of both steps, turn by turn in one process.

  Returns:
    {"model" | "layer": {"experts" | "dense": {"wall", "cpu"}, "ratio",
    "cpu_ratio"}}: seconds, and the speed of the experts as a share of the dense
    net's, by the clock and by processor time.
  """
  makers = {"layer": _layers, "model": _models}
  return {part: _race(makers[part](sizes), repeats) for part in parts}


def _race(runs: dict[str, Run], repeats: int) -> dict[str, Any]:
  for run in runs.values():
    run()  # compiles
  times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
  for _ in range(repeats):
    for name, run in runs.items():
      wall, cpu = time.perf_counter(), time.process_time()
      run()
      times[name].append(
          (time.perf_counter() - wall, time.process_time() - cpu)
      )
  out: dict[str, Any] = {}
  for name, found in times.items():
    walls, cpus = zip(*found, strict=True)
    out[name] = {
        "wall": statistics.median(walls), "cpu": statistics.median(cpus)
    }
  out["ratio"] = out["dense"]["wall"] / out["experts"]["wall"]
  out["cpu_ratio"] = out["dense"]["cpu"] / out["experts"]["cpu"]
  return out


def _width(experts: MoEConfig) -> int:
  return (experts.top_k + experts.shared) * experts.mlp_dim


def _layers(sizes: Sizes) -> dict[str, Run]:
  dtype = jnp.dtype("float32")
  shape = (sizes.users, sizes.tokens // sizes.users, sizes.embed_dim)
  x = jax.random.normal(jax.random.key(0), shape)
  routed = jnp.ones(shape[:2], bool)

  def run_of(model: nnx.Module, call: Callable[..., jax.Array]) -> Run:
    graphdef, params, rest = split_model(model)

    @jax.jit
    def step(params: Any, x: jax.Array) -> Any:
      def loss(params: Any, x: jax.Array) -> jax.Array:
        return (call(merge_model(graphdef, params, rest), x) ** 2).mean()

      return jax.value_and_grad(loss, (0, 1))(params, x)

    return lambda: jax.block_until_ready(step(params, x)) and None

  rngs = nnx.Rngs(0)
  return {
      "experts": run_of(
          MoE(sizes.embed_dim, sizes.experts, dtype=dtype, rngs=rngs),
          lambda moe, x: moe(x, routed, deterministic=False, rngs=None),
      ),
      "dense": run_of(
          SharedExpert(
              sizes.embed_dim, _width(sizes.experts), dtype=dtype, rngs=rngs
          ),
          lambda net, x: net(x),
      ),
  }


def _models(sizes: Sizes) -> dict[str, Run]:
  config = TwoTowerConfig(
      vocab_size=_VOCAB,
      features=(),
      max_length=max(sizes.long_length, sizes.short_length),
      embed_dim=sizes.embed_dim,
      num_layers=sizes.num_layers,
      num_heads=sizes.num_heads,
      head_dim=sizes.head_dim,
      mlp_dim=4 * sizes.embed_dim,
      dropout_rate=0.0,
      experts=sizes.experts,
  )
  batch = make_batch(sizes)
  rngs = nnx.Rngs(0)
  without = dataclasses.replace(config, experts=None)
  return {
      "experts": _train(TwoTower(config, rngs=rngs), batch),
      "dense": _train(
          DenseTwoTower(without, _width(sizes.experts), rngs=rngs), batch
      ),
  }


def make_batch(sizes: Sizes) -> dict[str, jax.Array]:
  """Random items of users without padding."""
  rng = np.random.default_rng(0)
  batch: dict[str, Any] = {
      "row_user": np.arange(sizes.users, dtype=np.int32),
      "short_popularity": np.zeros(sizes.users, np.float32),
      "short_category": np.zeros(sizes.users, np.int32),
  }
  for prefix, length in (
      (LONG, sizes.long_length), (SHORT, sizes.short_length)
  ):
    shape = (sizes.users, length)
    places = np.broadcast_to(np.arange(length, dtype=np.int32), shape)
    batch[f"{prefix}tokens"] = rng.integers(5, _VOCAB, shape, np.int32)
    batch[f"{prefix}segment_ids"] = np.ones(shape, np.int32)
    batch[f"{prefix}positions"] = places
  return jax.tree.map(jnp.asarray, batch)


def _train(model: nnx.Module, batch: dict[str, jax.Array]) -> Run:
  graphdef, params, rest = split_model(model)
  optimizer = optax.adam(1e-3)
  objective = Bpr()

  @jax.jit
  def step(params: Any, rest: Any, opt_state: Any) -> Any:
    def loss(params: Any) -> Any:
      model = merge_model(graphdef, params, rest)
      value, _, _ = objective.loss(model, batch, {}, jax.random.key(0))
      return value, split_model(model)[2]

    (_, left), grads = jax.value_and_grad(loss, has_aux=True)(params)
    updates, opt_state = optimizer.update(grads, opt_state)
    return optax.apply_updates(params, updates), left, opt_state

  state = [params, rest, optimizer.init(params)]

  def run() -> None:
    state[:] = jax.block_until_ready(step(*state))

  return run

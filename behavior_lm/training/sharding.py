"""One mesh and one table of rules; one device is a mesh of one.

Rules live outside the modules, so they also cover the Adam moments (whose
paths end alike) and restore onto another mesh.
"""

import re
from typing import Any

import jax
from jax.sharding import AxisType
from jax.sharding import Mesh
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

# First match wins; a path is the keys of a leaf joined by "/".
RULES: tuple[tuple[str, P], ...] = (
    (r"embed/token/embedding", P("model", None)),
    (r"head/bias", P("model")),
    (r"(qkv|query_value)/kernel", P(None, "model")),
    (r"global_(query|key_value)/kernel", P(None, "model")),
    (r"attention/out/kernel", P("model", None)),
    (r"mlp_in/kernel", P(None, "model")),
    (r"mlp_in/bias", P("model")),
    (r"mlp_out/kernel", P("model", None)),
    (r".*", P()),
)


def make_mesh(data: int = -1, model: int = 1) -> Mesh:
  """A ("data", "model") mesh; -1 takes the devices that are left.

  Raises:
    ValueError: if the axes do not multiply to the number of devices.
  """
  count = jax.device_count()
  if data == -1:
    data = count // model
  if data * model != count:
    raise ValueError(
        f"a mesh of data={data} x model={model} needs {data * model} devices,"
        f" here are {count}"
    )
  return jax.make_mesh(
      (data, model), ("data", "model"), axis_types=(AxisType.Auto,) * 2
  )


def _divides(shape: tuple[int, ...], spec: P, mesh: Mesh) -> bool:
  return len(spec) <= len(shape) and all(
      name is None or size % mesh.shape[name] == 0
      for size, name in zip(shape, spec, strict=False)
  )


def state_sharding(state: Any, mesh: Mesh) -> Any:
  """A sharding for each leaf of a state (arrays or their shapes).

  A leaf whose shape the mesh does not divide is replicated: a vocabulary of
  6,999 on two devices costs memory, not correctness.
  """

  def rule(path: Any, leaf: Any) -> NamedSharding:
    keys = [str(getattr(k, "key", getattr(k, "idx", k))) for k in path]
    name = "/".join(keys)
    spec = next(spec for regex, spec in RULES if re.search(regex, name))
    if not _divides(leaf.shape, spec, mesh):
      spec = P()
    return NamedSharding(mesh, spec)

  return jax.tree_util.tree_map_with_path(rule, state)


def batch_sharding(mesh: Mesh) -> NamedSharding:
  """Rows over the "data" axis."""
  return NamedSharding(mesh, P("data"))


def put_batch(batch: dict[str, Any], mesh: Mesh) -> dict[str, jax.Array]:
  """Rows of this host onto its devices of the mesh."""
  sharding = batch_sharding(mesh)
  return {
      name: jax.make_array_from_process_local_data(sharding, values)
      for name, values in batch.items()
  }

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

# The first match wins; a path is the keys of a leaf joined by "/".
RULES: tuple[tuple[str, P], ...] = (
    (r"embed/token/embedding", P("model", None)),
    (r"embed/position/embedding", P("model", None)),
    (r"(join|widen)/kernel", P(None, "model")),
    (r"(head|token_heads/\w+)/bias", P("model")),
    (r"head/table", P("model", None)),
    (r"(qkv|query_value)/kernel", P(None, "model")),
    (r"global_(query|key_value)/kernel", P(None, "model")),
    (r"attention/out/kernel", P("model", None)),
    (r"mlp_in/kernel", P(None, "model")),
    (r"mlp_in/bias", P("model")),
    (r"mlp_out/kernel", P("model", None)),
    # Experts, one axis of all their parameters; features of two towers.
    (r"experts/(kernel_in|kernel_out)", P("model", None, None)),
    (r"experts/norm_(scale|bias)", P("model", None)),
    (r"embed/features/.*embedding", P("model", None)),
    (r".*", P()),
)

# Numbers in a leaf that must not be replicated without anybody knowing.
LARGE = 2**20


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
  6,999 on two devices costs memory, not correctness. `describe` says which.
  """

  def rule(path: Any, leaf: Any) -> NamedSharding:
    spec = RULES[_rule(path_name(path))][1]
    if not _divides(leaf.shape, spec, mesh):
      spec = P()
    return NamedSharding(mesh, spec)

  return jax.tree_util.tree_map_with_path(rule, state)


def describe(params: Any, shardings: Any) -> list[dict[str, Any]]:
  """What is sharded how: a row for each rule and sharding that came to pass.

  Args:
    params: arrays or their shapes.
    shardings: of `state_sharding`.

  Returns:
    Rows of `rule`, `sharding`, `leaves`, `numbers` (in all of them) and
    `largest`, the path of the largest one; the largest rows first.
  """
  rows: dict[tuple[str, str], dict[str, Any]] = {}
  leaves = jax.tree_util.tree_leaves_with_path(params)
  for (path, leaf), place in zip(
      leaves, jax.tree.leaves(shardings), strict=True
  ):
    name = path_name(path)
    key = RULES[_rule(name)][0], str(place.spec)
    row = rows.setdefault(
        key,
        {
            "rule": key[0],
            "sharding": "replicated" if place.spec == P() else key[1],
            "leaves": 0,
            "numbers": 0,
            "largest": name,
            "most": 0,
        },
    )
    row["leaves"] += 1
    row["numbers"] += leaf.size
    if leaf.size > row["most"]:
      row["largest"], row["most"] = name, leaf.size
  return sorted(rows.values(), key=lambda row: -row["numbers"])


def uncovered(params: Any) -> list[str]:
  """Paths of large leaves that no rule but the last one covers."""
  return [
      path_name(path)
      for path, leaf in jax.tree_util.tree_leaves_with_path(params)
      if leaf.size >= LARGE and _rule(path_name(path)) == len(RULES) - 1
  ]


def path_name(path: Any) -> str:
  """The keys of a leaf joined by "/"."""
  keys = (getattr(k, "key", getattr(k, "idx", k)) for k in path)
  return "/".join(map(str, keys))


def _rule(name: str) -> int:
  return next(i for i, (regex, _) in enumerate(RULES) if re.search(regex, name))


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

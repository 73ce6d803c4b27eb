"""The shape of the house: who may import whom, and how large a file may be."""

import ast
from importlib import metadata
from pathlib import Path
import re
import subprocess
import sys
import tomllib

import pytest

REPO = Path(__file__).resolve().parents[1]
CODE = ("behavior_lm", "experiments", "configs")
MAX_LINES = 400

# What each room of behavior_lm may import from behavior_lm, besides itself.
_BOTTOM = {"common", "artifacts"}
_DATA = _BOTTOM | {"logs", "data"}
_MODELS = {"common", "attention", "layers", "models"}
_TRAINING = _DATA | _MODELS | {"objectives", "training"}
_RECIPES = _TRAINING | {"recipes"}
ROOMS = {
    "common": set(),
    "artifacts": {"common"},
    "logs": _BOTTOM,
    "synthetic": _BOTTOM | {"logs"},
    "data": _BOTTOM | {"logs"},
    "baselines": _DATA,
    "attention": {"common"},
    "layers": {"common", "attention"},
    "models": _MODELS,
    "objectives": _MODELS,
    "training": _BOTTOM,
    "recipes": _TRAINING | {"baselines", "evaluation"},
    "evaluation": _TRAINING | {"baselines"},
    "downstream": _RECIPES | {"baselines", "evaluation", "inference"},
    "inference": _RECIPES | {"evaluation"},
    "interop": _RECIPES,
    # It draws what run folders hold, and runs no model.
    "reporting": _DATA,
}

# The files that import an optional dependency: one per task.
BEAM_HANDLER = "behavior_lm/inference/beam_handler.py"
EXTRAS = {
    "behavior_lm/logs/builders/beam.py": "beam",
    BEAM_HANDLER: "beam",
    "behavior_lm/inference/stores/faiss_kinds.py": "faiss",
    "behavior_lm/inference/stores/redis_client.py": "redis",
    "behavior_lm/data/text/tokenizer_json.py": "text",
}

FORBIDDEN = {"tensorflow", "torch", "pickle"}
USES_JAX = {"jax", "jaxlib", "flax", "optax", "orbax"}


def module_name(path: Path) -> str:
  parts = path.with_suffix("").parts
  return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(source: str, path: Path) -> set[str]:
  """Dotted names that `source` imports, wherever in it the import stands.

  `from a import b` gives both a and a.b: b may be a module.
  """
  found = set()
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.Import):
      found |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      base = node.module or ""
      if node.level:
        package = path.parent.parts[: len(path.parts) - node.level]
        base = ".".join([*package, *([base] if base else [])])
      found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    elif isinstance(node, ast.Call):
      name = getattr(node.func, "attr", getattr(node.func, "id", ""))
      if name in ("import_module", "__import__") and node.args:
        target = node.args[0]
        if isinstance(target, ast.Constant) and isinstance(target.value, str):
          found.add(target.value)
  return found


def violations(source: str, path: Path) -> list[str]:
  """Imports of `source` that its place in the house, `path`, forbids."""
  top = path.parts[0]
  imports = imports_of(source, path)
  roots = {name.split(".")[0] for name in imports}
  bad = {f"{root}: never in {top}" for root in roots & FORBIDDEN}
  if top == "configs":
    bad |= {
        f"{root}: configs import ml_collections only"
        for root in roots - {"ml_collections", "configs"}
    }
  if top == "behavior_lm":
    bad |= {
        f"{root}: it stands above behavior_lm"
        for root in roots & {"experiments", "configs", "colabs", "tests"}
    }
    bad |= _room_violations(path, imports, roots)
  return sorted(f"{path} imports {text}" for text in bad)


def _room_violations(
    path: Path, imports: set[str], roots: set[str]
) -> set[str]:
  if len(path.parts) == 2 and path.name == "__init__.py":
    return set()  # The front door may open any room; it opens them lazily.
  room = module_name(path).split(".")[1]
  if room not in ROOMS:
    return {f"from {room}/, a room that tests/architecture_test.py lacks"}
  bad = set()
  for name in imports:
    if name.split(".")[0] == "behavior_lm" and name != "behavior_lm":
      target = name.split(".")[1]
      if target != room and target not in ROOMS[room]:
        bad.add(f"behavior_lm.{target}: {room} does not stand on it")
  if room == "data":
    bad |= {f"{root}: data never imports jax" for root in roots & USES_JAX}
  if room == "attention":
    known = set(sys.stdlib_module_names) | {"jax", "behavior_lm"}
    bad |= {f"{root}: attention imports jax only" for root in roots - known}
  return bad


def distribution_name(requirement: str) -> str:
  """The normalised name at the head of a requirement, `A_b>=1` -> `a-b`."""
  name = re.match(r"[\w.-]+", requirement)
  return re.sub(r"[-_.]+", "-", name[0]).lower()


def sources(*folders: str) -> list[Path]:
  """Python files below the folders, relative to the repository."""
  return sorted(
      path.relative_to(REPO)
      for folder in folders
      for path in (REPO / folder).rglob("*.py")
  )


def without_counterpart(test: Path, files: set[Path]) -> bool:
  """Whether tests/a/x_test.py lacks a behavior_lm/a/x.py among `files`.

  A module with more tests than one file should hold has several: x_test.py,
  x_resume_test.py. Tests straight in tests/ are about the whole.
  """
  folder = Path(*test.parts[1:-1])
  if folder == Path():
    return False
  if folder.parts[0] not in CODE:
    folder = "behavior_lm" / folder
  words = test.stem.removesuffix("_test").split("_")
  names = ["_".join(words[:n]) for n in range(1, len(words) + 1)]
  return not any(folder / f"{name}.py" in files for name in names)


@pytest.mark.slow
def test_every_import_points_down():
  found = sources(*CODE)
  assert Path("behavior_lm/logs/schema.py") in found
  bad = []
  for path in found:
    bad += violations((REPO / path).read_text(), path)
  assert not bad, "\n".join(bad)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("behavior_lm/data/a.py", "import jax.numpy as jnp"),
        ("behavior_lm/data/a.py", "def f():\n  from flax import nnx"),
        ("behavior_lm/data/a.py", "from behavior_lm.models import encoders"),
        ("behavior_lm/logs/builders/a.py", "from ...training import loop"),
        ("behavior_lm/logs/a.py", "from behavior_lm.data import fields"),
        ("behavior_lm/attention/a.py", "import numpy as np"),
        ("behavior_lm/attention/a.py", "from behavior_lm import layers"),
        ("behavior_lm/layers/a.py", "from behavior_lm import models"),
        ("behavior_lm/models/a.py", "from behavior_lm import objectives"),
        ("behavior_lm/models/__init__.py", "from ..data import schema"),
        ("behavior_lm/models/a.py", "import behavior_lm.logs.schema"),
        ("behavior_lm/objectives/a.py", "from behavior_lm import data"),
        ("behavior_lm/training/a.py", "from behavior_lm import objectives"),
        ("behavior_lm/training/a.py", "from behavior_lm import data"),
        ("behavior_lm/artifacts/a.py", "from behavior_lm import logs"),
        ("behavior_lm/recipes/a.py", "from behavior_lm import inference"),
        ("behavior_lm/inference/a.py", "from behavior_lm import downstream"),
        ("behavior_lm/common/a.py", "from behavior_lm.logs import schema"),
        ("behavior_lm/models/a.py", "from configs import pretrain"),
        ("behavior_lm/rooms/a.py", "import numpy"),
        ("behavior_lm/interop/a.py", "from torch import nn"),
        ("behavior_lm/interop/a.py", "import importlib as i\n"
                                     "i.import_module('torch.nn')"),
        ("experiments/a.py", "import tensorflow.compat.v1 as tf"),
        ("experiments/a.py", "try:\n  import pickle\nexcept OSError: pass"),
        ("configs/a.py", "import numpy as np"),
        ("configs/a.py", "from behavior_lm import models"),
    ],
)
def test_a_wrong_import_is_found(path, source):
  assert violations(source, Path(path))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("behavior_lm/data/a.py", "import grain, tensorflow_datasets as tfds"),
        ("behavior_lm/data/a.py", "from behavior_lm.common import errors"),
        ("behavior_lm/logs/builders/a.py", "from .. import schema"),
        ("behavior_lm/attention/a.py", "import functools\nimport jax"),
        ("behavior_lm/models/a.py", "from behavior_lm.layers import heads"),
        ("behavior_lm/inference/a.py", "from behavior_lm.data import fields"),
        ("behavior_lm/recipes/a.py", "from behavior_lm import evaluation"),
        ("behavior_lm/__init__.py", "from behavior_lm import inference"),
        ("experiments/a.py", "from behavior_lm.training import loop"),
        ("configs/a.py", "import ml_collections\nfrom configs import common"),
    ],
)
def test_a_right_import_passes(path, source):
  assert violations(source, Path(path)) == []


@pytest.mark.slow
def test_every_library_that_is_imported_is_declared():
  project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
  declared = {distribution_name(text) for text in project["dependencies"]}
  # Each extra is imported by one file, when a flag asks for it.
  optional = {
      file: {
          distribution_name(text)
          for text in project["optional-dependencies"][extra]
      }
      for file, extra in EXTRAS.items()
  }
  owners = metadata.packages_distributions()
  missing = {}
  for path in sources(*CODE):
    for name in imports_of((REPO / path).read_text(), path):
      root = name.split(".")[0]
      if root not in CODE and root not in sys.stdlib_module_names:
        names = {distribution_name(owner) for owner in owners.get(root, [])}
        if not names & (declared | optional.get(str(path), set())):
          missing[str(path)] = root
  assert not missing, f"not among the dependencies in pyproject.toml: {missing}"


def test_no_file_is_too_long():
  long = {
      str(path): lines
      for path in sources(*CODE, "tests")
      if (lines := len((REPO / path).read_text().splitlines())) > MAX_LINES
  }
  assert not long, f"over {MAX_LINES} lines, split by what they do: {long}"


def test_every_test_file_mirrors_a_module():
  files = set(sources(*CODE))
  tests = [path for path in sources("tests") if path.stem.endswith("_test")]
  assert Path("tests/architecture_test.py") in tests
  lost = [str(path) for path in tests if without_counterpart(path, files)]
  assert not lost, f"tests of modules that do not exist: {lost}"


def test_a_test_file_without_a_module_is_found():
  files = {Path("behavior_lm/logs/ingest.py"), Path("experiments/prepare.py")}
  cases = {
      "tests/logs/ingest_test.py": False,
      "tests/logs/ingest_bad_rows_test.py": False,
      "tests/data/ingestion_test.py": True,
      "tests/models/ingest_test.py": True,
      "tests/experiments/prepare_test.py": False,
      "tests/experiments/embed_test.py": True,
      "tests/resume_test.py": False,
  }
  for path, lost in cases.items():
    assert without_counterpart(Path(path), files) is lost, path


# Imports the modules named as arguments, one after the other. TensorFlow and
# torch seem to be installed: what asks for one of them is caught whether or
# not this environment has it. Looking whether they exist is allowed.
_IMPORT_ALL = """
import importlib.abc, importlib.machinery, sys
asked = []
class Trap(importlib.abc.MetaPathFinder, importlib.abc.Loader):
  def find_spec(self, name, path=None, target=None):
    if name.split(".")[0] in ("tensorflow", "torch"):
      return importlib.machinery.ModuleSpec(name, self)
  def exec_module(self, module):
    asked.append(module.__name__)
    raise ImportError(f"{module.__name__} is a trap")
sys.meta_path.insert(0, Trap())
for name in sys.argv[1:]:
  importlib.import_module(name)
  if asked:
    sys.exit(f"{name} imports {asked}")
"""


def run_python(source: str, *args: str) -> subprocess.CompletedProcess:
  return subprocess.run(
      [sys.executable, "-c", source, *args],
      cwd=REPO,
      capture_output=True,
      text=True,
      timeout=300,
  )


@pytest.mark.slow
def test_no_module_imports_tensorflow_or_torch():
  # Beam's base of model handlers tries whether torch can be imported.
  names = [
      module_name(path)
      for path in sources("behavior_lm")
      if str(path) != BEAM_HANDLER
  ]
  assert "behavior_lm.common.errors" in names
  done = run_python(_IMPORT_ALL, "behavior_lm", *names)
  assert done.returncode == 0, done.stderr


def test_importing_torch_anywhere_below_is_found(tmp_path):
  (tmp_path / "quiet.py").write_text(
      "import importlib.util\nimportlib.util.find_spec('torch')\n"
      "try:\n  import torch.nn\nexcept ImportError:\n  pass\n"
  )
  here = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
  done = run_python(here + _IMPORT_ALL, "quiet")
  assert done.returncode == 1
  assert "quiet imports ['torch']" in done.stderr


def test_importing_behavior_lm_alone_does_not_load_jax():
  source = (
      "import sys, behavior_lm\n"
      "heavy = {'jax', 'flax', 'grain', 'polars', 'numpy'} & set(sys.modules)\n"
      "sys.exit(f'behavior_lm loads {sorted(heavy)}' if heavy else 0)\n"
  )
  done = run_python(source)
  assert done.returncode == 0, done.stderr
